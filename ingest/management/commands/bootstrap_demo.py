"""manage.py bootstrap_demo: what `make run` needs on its first start."""

import json
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

from evermuse import env
from ingest import api_keys, workspaces
from ingest.models import ApiKey
from lake import object_store

WORKSPACE, LABEL = "demo", "demo"
PRODUCTS = [("prod-abc", ["proj-123", "proj-456"])]


class Command(BaseCommand):
    help = "Make the bucket, the admin's login, the demo workspace and its key. Repeatable."

    def handle(self, *args: Any, **options: Any) -> None:
        object_store.ensure_bucket()
        users = get_user_model().objects
        username = env.text("EVERMUSE_ADMIN_USERNAME", "admin")
        admin = users.filter(username=username).first()
        if admin is None:
            users.create_superuser(username, "", env.text("EVERMUSE_ADMIN_PASSWORD"))
        elif not admin.check_password(env.text("EVERMUSE_ADMIN_PASSWORD")):
            admin.set_password(env.text("EVERMUSE_ADMIN_PASSWORD"))
            admin.save()
        workspace = workspaces.ensure(name=WORKSPACE, products=PRODUCTS)
        if earlier := ApiKey.objects.filter(workspace=workspace, label=LABEL, revoked_at=None).first():
            api_keys.revoke(earlier)
        made = api_keys.create(workspace=workspace, label=LABEL, source="demo")
        self.stdout.write(json.dumps({"workspace": WORKSPACE, "apiKey": made.secret}))
