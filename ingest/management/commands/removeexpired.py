"""manage.py removeexpired [--dry-run] [KIND …]"""

import json
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.utils import timezone

from evermuse.retention import Due, Kind
from ingest import retention

NAMES = [kind.name for kind in retention.KINDS]
A_DAY = 86_400.0


class Command(BaseCommand):
    help = "Remove rows whose retention has ended. A worker does the same every minute."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"Only these kinds: {', '.join(NAMES)}.")
        parser.add_argument("--dry-run", action="store_true", help="Print what would be removed, and remove nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        if unknown := set(options["kinds"]) - set(NAMES):
            raise CommandError(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
        kinds = tuple(kind for kind in retention.KINDS if not options["kinds"] or kind.name in options["kinds"])
        if options["dry_run"]:
            self._tell(kinds)
        else:
            self._remove(kinds)

    def _remove(self, kinds: tuple[Kind, ...]) -> None:
        # Without the database each kind would fail and log its own traceback.
        connection.ensure_connection()
        removed = retention.remove_expired(kinds=kinds, seconds=A_DAY)
        self.stdout.write(json.dumps({"dryRun": False, "removed": removed}))
        if failed := [kind.name for kind in kinds if kind.name not in removed]:
            raise CommandError(f"failed: {', '.join(failed)}; the log says why (retention.failed)")

    def _tell(self, kinds: Iterable[Kind]) -> None:
        """Write one JSON object while its rows are read: there may be millions."""
        now = timezone.now()
        self.stdout.write('{"dryRun": true, "kinds": [', ending="")
        for number, kind in enumerate(kinds):
            before = kind.before(now)
            opening = {"kind": kind.name, "days": kind.days, "before": before.isoformat()}
            self.stdout.write(f'{", " if number else ""}{json.dumps(opening)[:-1]}, "expired": [', ending="")
            rows = 0
            for place, due in enumerate(kind.due(before)):
                rows += due.rows
                self.stdout.write(f"{', ' if place else ''}{_shown(due)}", ending="")
            self.stdout.write(f'], "rows": {rows}}}', ending="")
        self.stdout.write("]}")


def _shown(due: Due) -> str:
    return json.dumps(due.name, default=str)
