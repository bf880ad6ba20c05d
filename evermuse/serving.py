"""What a process needs of its settings before it starts. All faults are reported together, one line each.

Commands such as ``check`` or ``makemigrations`` run without servers. Web, workers, beat, Flower and the commands that work on the
database do not.
"""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import django
from django.conf import settings
from django.core.checks import WARNING, CheckMessage
from django.db import DatabaseError, InterfaceError, NotSupportedError, connection

from evermuse import connection_budget, env, flower_login, logs, setting_table
from evermuse.env import ConfigurationError

log = logs.get(__name__)

# Django requires 50 characters. The embedded stack makes 32 random ones.
MIN_SECRET_CHARACTERS, MIN_DIFFERENT_CHARACTERS = 32, 5
NEEDED = ("DATABASE_URL", "CELERY_BROKER_URL", "REDIS_URL", "MINIO_ENDPOINT")
# Needed unless MINIO_CREDENTIALS names another source of keys.
STORE_KEYS = ("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY")
SERVING = ("web", "worker", "beat")
FLOWER = "flower"
# Of the commands of manage.py. The others need no server, or report themselves what is missing.
ON_THE_DATABASE = frozenset({
    "allowdownloads", "bootstrap_demo", "changepassword", "createapikey", "createsuperuser", "createworkspace", "dbshell",
    "fillfilter", "migrate", "removeexpired", "revokeapikey", "showmigrations",
})  # fmt: skip
ON_DATABASE_AND_STORE = frozenset({"bootstrap", "compactsegments", "restorecheck"})
ON_THE_STORE = frozenset({"checkstore"})
# The tag of the system checks of our settings.
CHECKS = "evermuse"


def secret_key_fault() -> str | None:
    """What is wrong with EVERMUSE_SECRET_KEY and how to fix it, or None if it is good."""
    key = env.text("EVERMUSE_SECRET_KEY", "")
    make = "make one with: python -c 'import secrets; print(secrets.token_urlsafe(50))'"
    if not key:
        return f"EVERMUSE_SECRET_KEY is not set: sessions and cursors cannot be signed; {make}"
    if (
        len(key) < MIN_SECRET_CHARACTERS
        or len(set(key)) < MIN_DIFFERENT_CHARACTERS
        or key.startswith("django-insecure-")
    ):
        shape = f"at least {MIN_SECRET_CHARACTERS} random characters"
        return f"EVERMUSE_SECRET_KEY is too weak ({len(key)} characters): it must be {shape}; {make}"
    return None


def require_settings(role: str = "web") -> None:
    """Raise ConfigurationError with all faults of the settings. ``role``: one of `SERVING`, `FLOWER`, or the name of a command of
    ``manage.py``.
    """
    with contextlib.suppress(ConfigurationError):
        # Its faults are in the table.
        import_module("evermuse.settings")
        _load_added_apps()
    found = setting_table.faults()
    for name, line in _missing(role):
        found.setdefault(name, line)
    if found:
        raise ConfigurationError("\n".join(found.values()))


def _load_added_apps() -> None:
    """Note a fault if the apps that a deployment adds cannot be loaded. Otherwise Django would end with a traceback."""
    names = "EVERMUSE_APPS"
    if not settings.EVERMUSE_APPS:
        return
    try:
        django.setup()
    except Exception as error:  # whatever their modules raise
        reason = " ".join(str(error).split())
        setting_table.refuse(
            names, f"{names}: the apps cannot be loaded: {type(error).__name__}: {reason}: correct or remove them"
        )


def _missing(role: str) -> Iterator[tuple[str, str]]:
    if role in SERVING and (fault := secret_key_fault()):
        yield "EVERMUSE_SECRET_KEY", fault
    for name in _needed(role):
        if not env.is_set(name):
            yield name, env.not_set(name)
    if role == FLOWER:
        yield from flower_login.faults()


def _needed(role: str) -> tuple[str, ...]:
    has_keys = env.text("MINIO_CREDENTIALS", "keys").strip().upper() == "KEYS"
    store = ("MINIO_ENDPOINT", *(STORE_KEYS if has_keys else ()))
    if role in SERVING:
        return NEEDED[:-1] + store
    if role == FLOWER:
        return ("CELERY_BROKER_URL",)
    database = ("DATABASE_URL",) if role in ON_THE_DATABASE | ON_DATABASE_AND_STORE else ()
    # With the root's login, `bootstrap` needs no other.
    keys = ("MINIO_ENDPOINT",) if role == "bootstrap" and env.is_set("MINIO_ROOT_USER") else store
    return database + (keys if role in ON_DATABASE_AND_STORE | ON_THE_STORE else ())


def warn(messages: Iterable[CheckMessage]) -> None:
    """Log the warnings of the system checks, such as names that nothing reads."""
    for found in messages:
        if found.level == WARNING:
            log.warning("settings.doubtful", id=found.id, problem=found.msg, fix=found.hint)


def refuse_old_database() -> None:
    """Raise ConfigurationError if PostgreSQL answers and is too old. A server that is away may come back: it is accepted."""
    # In a thread, because Django opens no connection where an event loop runs, and uvicorn imports web inside of one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(_refuse_old_database).result()


def _refuse_old_database() -> None:
    probe = connection.copy()
    try:
        probe.ensure_connection()
        connection_budget.warn_if_short(probe)
    except NotSupportedError as error:
        raise ConfigurationError(f"DATABASE_URL: {error}") from None
    except (DatabaseError, InterfaceError) as error:
        log.warning("database.away", setting="DATABASE_URL", error=" ".join(str(error).split()))
    finally:
        probe.close()


def require_settings_or_exit(role: str = "web") -> None:
    """Like `require_settings`, but print the faults and exit."""
    try:
        require_settings(role)
    except ConfigurationError as error:
        exit_with(error)


def refuse_old_database_or_exit() -> None:
    """Like `refuse_old_database`, but print the fault and exit."""
    try:
        refuse_old_database()
    except ConfigurationError as error:
        exit_with(error)


def exit_with(error: ConfigurationError) -> None:
    """Print the faults, one a line, and exit."""
    sys.exit("\n".join(f"evermuse: {line}" for line in str(error).splitlines()))
