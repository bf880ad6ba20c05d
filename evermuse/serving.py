"""What a process needs before it serves: settings that have no safe default.

Commands such as ``check`` or ``makemigrations`` run without them; web, workers and beat do not.
"""

import sys

from evermuse import env
from evermuse.env import ConfigurationError

# Django's own bar is 50 characters; the embedded default makes 32 random ones.
MIN_SECRET_CHARACTERS, MIN_DIFFERENT_CHARACTERS = 32, 5
NEEDED = ("DATABASE_URL", "CELERY_BROKER_URL", "REDIS_URL", "MINIO_ENDPOINT", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY")


def secret_key_fault() -> str | None:
    """What is wrong with EVERMUSE_SECRET_KEY, and what to do; None where it may sign sessions and cursors."""
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


def demand() -> None:
    """Raise ConfigurationError, one line, for the first thing that is missing."""
    if fault := secret_key_fault():
        raise ConfigurationError(fault)
    for name in NEEDED:
        if not env.is_set(name):
            raise ConfigurationError(f"{name} is not set (nor {name}_FILE): set it, or start all with `make run`")


def demand_or_exit() -> None:
    """Like `demand`, for entry points: says what is missing and ends the process."""
    try:
        demand()
    except ConfigurationError as error:
        sys.exit(f"evermuse: {error}")
