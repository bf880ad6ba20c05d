"""manage.py revokeapikey WORKSPACE LABEL"""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ingest.clients import api_keys
from ingest.models import ApiKey


class Command(BaseCommand):
    help = "Revoke the live key with a label. The next request with it is refused."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("workspace")
        parser.add_argument("label")

    def handle(self, *args: Any, **options: Any) -> None:
        key = ApiKey.objects.filter(
            workspace__name=options["workspace"], label=options["label"], revoked_at=None
        ).first()
        if key is None:
            raise CommandError(f"workspace {options['workspace']!r} has no live key {options['label']!r}")
        api_keys.revoke(key)
        self.stdout.write(json.dumps({"workspace": options["workspace"], "label": options["label"], "revoked": True}))
