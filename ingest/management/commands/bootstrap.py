"""manage.py bootstrap: what a deployment needs once its database is migrated."""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

from evermuse import env, roles
from lake import object_store


class Command(BaseCommand):
    help = "Make the bucket, the roles, and the admin's login from EVERMUSE_ADMIN_USERNAME and _PASSWORD. Repeatable."

    def handle(self, *args: Any, **options: Any) -> None:
        object_store.ensure_bucket()
        roles.ensure()
        users = get_user_model().objects
        username, password = env.text("EVERMUSE_ADMIN_USERNAME", "admin"), env.text("EVERMUSE_ADMIN_PASSWORD")
        admin = users.filter(username=username).first()
        if admin is None:
            users.create_superuser(username, "", password)
        elif not admin.check_password(password):
            admin.set_password(password)
            admin.save()
