"""manage.py restorecheck: after the database was restored from a backup."""

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from evermuse.errors import StoreUnavailable
from ingest.pipeline.restoring import check, report


class Command(BaseCommand):
    help = (
        "Compare a restored database with the bucket: move the sequences so that no id is given twice, land batches again "
        "whose records are in the bucket, and print as JSON what is missing. Exit code 0: nothing is missing. Repeatable."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Print what would be done, and change nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            outcome = check.check(is_dry=options["dry_run"])
        except StoreUnavailable as error:
            raise CommandError(f"the object store (MINIO_ENDPOINT): {error}. Run it again.", returncode=2) from None
        self.stdout.write(json.dumps(report.of(outcome)))
        if not outcome.is_whole:
            sys.exit(1)
