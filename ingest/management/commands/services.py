"""manage.py services: prints the addresses and processes of the embedded stack."""

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from deploy.local.services import describe


class Command(BaseCommand):
    help = "Print the embedded stack's addresses, logins and processes as JSON."
    requires_system_checks: list[str] = []  # noqa: RUF012  (Django's own declaration)

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(json.dumps(describe(settings.EVERMUSE_HOME)))
