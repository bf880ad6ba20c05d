"""Settings without a safe default, which a process needs before it serves.

Commands such as ``check`` or ``makemigrations`` run without them. Web, workers and beat do not.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

from django.db import DatabaseError, InterfaceError, NotSupportedError, connection

from evermuse import connection_budget, env
from evermuse.env import ConfigurationError

# Django requires 50 characters. The embedded stack makes 32 random ones.
MIN_SECRET_CHARACTERS, MIN_DIFFERENT_CHARACTERS = 32, 5
NEEDED = ("DATABASE_URL", "CELERY_BROKER_URL", "REDIS_URL", "MINIO_ENDPOINT")
# Needed unless MINIO_CREDENTIALS names another source of keys.
STORE_KEYS = ("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY")


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


def require_settings() -> None:
    """Raise ConfigurationError for the first setting that is missing."""
    if fault := secret_key_fault():
        raise ConfigurationError(fault)
    has_keys = env.text("MINIO_CREDENTIALS", "keys").strip().upper() == "KEYS"
    for name in NEEDED + (STORE_KEYS if has_keys else ()):
        if not env.is_set(name):
            raise ConfigurationError(f"{name} is not set (nor {name}_FILE): set it, or start all with `make run`")


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
    except (DatabaseError, InterfaceError):
        pass
    finally:
        probe.close()


def require_settings_or_exit() -> None:
    """Like `require_settings` and `refuse_old_database`, but print the message and exit."""
    try:
        require_settings()
        refuse_old_database()
    except ConfigurationError as error:
        sys.exit(f"evermuse: {error}")
