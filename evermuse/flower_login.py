"""Flower's logins, what is wrong with their settings, and how many wrong passwords an address may try."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from evermuse import env, setting_table

USERNAME, PASSWORD = "EVERMUSE_FLOWER_USERNAME", "EVERMUSE_FLOWER_PASSWORD"
MIN_PASSWORD_CHARACTERS = 12
# As for the logins of the admin.
MOST_FAILURES, WITHIN_SECONDS = 20, 15 * 60.0
# Addresses that are remembered. Beyond that the oldest is forgotten, so that many addresses cannot fill the memory.
MOST_ADDRESSES = 10_000


@dataclass
class Failures:
    """Wrong passwords by address. Flower is one process and checks every request, so memory is enough."""

    clock: Callable[[], float] = time.monotonic
    _at: dict[str, deque[float]] = field(default_factory=dict)

    def add(self, address: str) -> None:
        """Note a wrong password."""
        found = self._at.pop(address, None) or deque(maxlen=MOST_FAILURES)
        found.append(self.clock())
        self._at[address] = found
        if len(self._at) > MOST_ADDRESSES:
            del self._at[next(iter(self._at))]

    def are_too_many(self, address: str) -> bool:
        """Whether the address has tried so many that its requests are refused for now."""
        found = self._at.get(address, deque[float]())
        return len(found) == MOST_FAILURES and found[0] > self.clock() - WITHIN_SECONDS


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
