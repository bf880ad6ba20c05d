"""Flower's logins, and what is wrong with their settings."""

import os
from collections.abc import Iterator

from evermuse import env, setting_table

USERNAME, PASSWORD = "EVERMUSE_FLOWER_USERNAME", "EVERMUSE_FLOWER_PASSWORD"
MIN_PASSWORD_CHARACTERS = 12


def logins() -> list[str]:
    """Flower's own login, and those of FLOWER_BASIC_AUTH (in the embedded stack the admin's)."""
    password = env.text(PASSWORD, "")
    own = [f"{env.text(USERNAME, 'flower')}:{password}"] if password else []
    return own + _others()


def faults() -> Iterator[tuple[str, str]]:
    """Variables with what is wrong with each. Without a login Flower would show every task to everybody."""
    username, password = env.text(USERNAME, "flower"), env.text(PASSWORD, "")
    if password and len(password) < MIN_PASSWORD_CHARACTERS:
        yield (
            PASSWORD,
            f"{PASSWORD} ({len(password)} characters) must have at least {MIN_PASSWORD_CHARACTERS} characters",
        )
    if ":" in username or not username:
        yield USERNAME, f"{USERNAME} ({setting_table.shape(username)}) must be a name without a colon"
    if not password and not _others():
        yield PASSWORD, f"{PASSWORD} is not set (nor {PASSWORD}_FILE): set it, because Flower shows every task"


def _others() -> list[str]:
    return [login for login in os.environ.get("FLOWER_BASIC_AUTH", "").split(",") if login.partition(":")[2]]
