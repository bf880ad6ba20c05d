"""manage.py bootstrap_demo: creates the demo workspace and key on the first `make run`."""

import json
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from ingest.clients import api_keys, workspaces
from ingest.models import ApiKey

WORKSPACE, LABEL = "demo", "demo"
PRODUCTS = [("prod-abc", ["proj-123", "proj-456"])]


class Command(BaseCommand):
    help = "`bootstrap`, and the demo workspace with a new key, which is printed. Repeatable."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("bootstrap")
        workspace = workspaces.ensure(name=WORKSPACE, products=PRODUCTS)
        if earlier := ApiKey.objects.filter(workspace=workspace, label=LABEL, revoked_at=None).first():
            api_keys.revoke(earlier)
        made = api_keys.create(workspace=workspace, label=LABEL, source="demo")
        self.stdout.write(json.dumps({"workspace": WORKSPACE, "apiKey": made.secret}))
