"""manage.py fillfilter: lets a filter find records that landed before the filter was added."""

import json
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from evermuse import logs, public_ids
from lake import backfill
from lake.filters import FILTERS

log = logs.get(__name__)


class Command(BaseCommand):
    help = "Add the terms of the filter PARAMETER to records that landed before it. May be stopped and repeated."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("parameter", choices=[one.parameter for one in FILTERS])
        parser.add_argument("--after", metavar="RECORD_ID", help="continue after this record, the last one in the log")

    def handle(self, *args: Any, **options: Any) -> None:
        (one,) = [found for found in FILTERS if found.parameter == options["parameter"]]
        last = _after(options["after"])
        seen = filled = 0
        while (step := backfill.step(one, after=last)).last is not None:
            seen, filled, last = seen + step.seen, filled + step.filled, step.last
            log.info(
                "filter.filled", parameter=one.parameter, seen=seen, filled=filled, last=public_ids.of_record(last)
            )
        self.stdout.write(json.dumps({"filter": one.parameter, "records": seen, "filled": filled}))


def _after(text: str | None) -> UUID | None:
    if text is None:
        return None
    if (found := public_ids.record_uuid(text)) is None:
        raise CommandError(f"--after: {text!r} is not a record id")
    return found
