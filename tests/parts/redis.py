"""Redis in place of Valkey, and what the faults do to either of them."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import redis

from deploy.local.servers import Valkey
from tests.parts import debian

PROGRAM = os.environ.get("REDIS_SERVER") or shutil.which("redis-server") or ""
MISSING = "Redis is not installed: apt-get install redis-server"
IS_DEBIANS = "redis" in debian.WANTED


def missing() -> str | None:
    """Why it cannot be run, or None."""
    if IS_DEBIANS:
        return debian.missing("redis")
    return None if PROGRAM else MISSING


def command(is_debians: bool = IS_DEBIANS) -> list[str]:
    """The words that run it."""
    return [*debian.prefix(), debian.program("redis")] if is_debians else [PROGRAM]


def version(is_debians: bool = IS_DEBIANS) -> str:
    """The program's version."""
    printed = subprocess.run([*command(is_debians), "--version"], capture_output=True, text=True, check=True).stdout
    return printed.partition("v=")[2].split()[0]


class Redis(Valkey):
    """Redis with Valkey's name, port, password and settings."""

    def command(self) -> list[str]:
        return [*command(), str(self._config)]


@dataclass(frozen=True)
class RedisBroker:
    """The broker at a URL of Redis or Valkey."""

    url: str
    name: str = "valkey"

    def flush(self) -> None:
        """Removes everything."""
        with redis.Redis.from_url(self.url, socket_timeout=5) as client:
            client.flushall()

    def waiting(self, queue: str) -> list[tuple[dict[str, Any], bytes]]:
        """The headers and the body of each message that no worker has taken."""
        with redis.Redis.from_url(self.url, socket_timeout=5) as client:
            found = [json.loads(text) for text in client.lrange(queue, 0, -1)]
        return [(message["headers"], base64.b64decode(message["body"])) for message in found]

    @contextlib.contextmanager
    def exhausted(self) -> Iterator[None]:
        """It accepts no message during the block, as if its memory were full."""
        with redis.Redis.from_url(self.url, socket_timeout=5) as client:
            client.config_set("maxmemory", 1)
            yield
            client.config_set("maxmemory", "512mb")
