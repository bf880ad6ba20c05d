"""manage.py bootstrap: sets a deployment up after its database is migrated."""

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from attachments.fetch import store_faults
from evermuse import env, logs, roles, setting_table, time_limits
from lake import object_store, store_accounts

log = logs.get(__name__)
USERNAME, PASSWORD = "EVERMUSE_ADMIN_USERNAME", "EVERMUSE_ADMIN_PASSWORD"
# MinIO's root login. No other process needs it.
ROOT_USER, ROOT_PASSWORD = "MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"
ROOT = store_faults.Keys(ROOT_USER, ROOT_PASSWORD, ROOT_PASSWORD, "give it the right to create buckets")
RESET = "--set-admin-password"


class Command(BaseCommand):
    help = (
        "Create the bucket, the object store's users (with MINIO_ROOT_USER and _PASSWORD), the roles, behind a pooler the time limits of the database role, and the admin's login from EVERMUSE_ADMIN_USERNAME and _PASSWORD. Repeatable: a "
        f"login that exists keeps its password, unless {RESET} is given."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            RESET, action="store_true", help=f"set the admin's password to {PASSWORD} although the login exists"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            _ensure_store()
        except object_store.FAULTS as error:
            raise CommandError(_reason(error)) from None
        roles.ensure()
        if set_limits := time_limits.set_for_role():
            log.info("database.time_limits_set_for_role", limits=set_limits)
        _ensure_admin(must_set_password=options["set_admin_password"])


def _ensure_store() -> None:
    if root_user := env.text(ROOT_USER, ""):
        store_accounts.ensure(root_user=root_user, root_password=env.text(ROOT_PASSWORD))
        log.info("store.accounts_made")
    else:
        object_store.ensure_bucket()


def _reason(error: BaseException) -> str:
    if store_faults.is_away(error):
        return store_faults.away(error)
    fault = store_faults.explain("bucket", error, keys=ROOT if env.text(ROOT_USER, "") else store_faults.PRODUCT)
    return f"{fault.problem}: {fault.fix}"


def _ensure_admin(*, must_set_password: bool) -> None:
    users = get_user_model().objects
    username = env.text(USERNAME, "admin")
    admin = users.filter(username=username).first()
    if admin is None:
        _check_username(username)
        users.create_superuser(username, "", _password(username))
        log.info("admin.made", username=username)
    elif must_set_password:
        admin.set_password(_password(username))
        admin.save(update_fields=["password"])
        log.info("admin.password_set", username=username)


def _check_username(username: str) -> None:
    try:
        get_user_model()(username=username).clean_fields(exclude=["password"])
    except ValidationError as error:
        reason = " ".join(error.messages)
        raise CommandError(f"{USERNAME} ({setting_table.shape(username)}) is no name of a login: {reason}") from None


def _password(username: str) -> str:
    password = env.text(PASSWORD)
    try:
        validate_password(password, get_user_model()(username=username))
    except ValidationError as error:
        raise CommandError(f"{PASSWORD} is too weak: {' '.join(error.messages)}") from error
    return password
