"""manage.py compactsegments: runs the compaction that the maintenance worker does each minute, at once and completely."""

import json
import math
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ingest.pipeline import compaction

TODAY = "--include-today"


class Command(BaseCommand):
    help = (
        "Merge small segments of past dates into large ones, and print how many segments became how many as JSON. "
        "Safe while workers run. Replaced objects stay for an hour."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(TODAY, action="store_true", help="also today's segments, and yesterday's in its first hour")

    def handle(self, *args: Any, **options: Any) -> None:
        before = datetime.now(UTC).date() + timedelta(days=1) if options["include_today"] else None
        result = compaction.compact(seconds=math.inf, before=before)
        self.stdout.write(json.dumps(asdict(result)))
