"""manage.py checkstore"""

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from attachments import store_start
from attachments.fetch import store_check


class Command(BaseCommand):
    help = "Check what we need of the object store by doing it. Prints JSON; exits with 1 if anything is missing."
    # A fault of another setting is no reason not to look.
    requires_system_checks: list[str] = []  # noqa: RUF012

    def handle(self, *args: Any, **options: Any) -> None:
        report = store_check.run()
        store_start.write(report)
        self.stdout.write(json.dumps(asdict(report)))
        if report.status != store_check.OK:
            sys.exit(1)
