"""What every deployment of the journeys has, on one machine or on many: settings, a database, a bucket and clients."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import requests
from django.utils.crypto import get_random_string

from tests.journeys.client import HttpClient
from tests.store import store_client

ROOT = Path(__file__).resolve().parent.parent.parent
BUCKET = "journeys"
LEASE_SECONDS = 3
# How long a test waits before it fails. On a working stack nothing takes this long.
PATIENCE_SECONDS = 180.0


class Deployment:
    """``environment``: the settings of its processes. ``dsn``: its database. ``url``: where clients send to."""

    def __init__(self, *, url: str, dsn: str, environment: dict[str, str]) -> None:
        self.url, self.dsn, self.environment = url, dsn, environment
        self._ready_clients: list[HttpClient] = []

    def use_store(self, given: dict[str, str]) -> None:
        """Makes the bucket, and the client with which journeys look into it. ``given``: the settings of the store itself."""
        self.store = store_client(given)
        if not self.store.bucket_exists(BUCKET):
            self.store.make_bucket(BUCKET)

    def manage(self, *words: str, exit_codes: tuple[int, ...] = (0,)) -> Any:
        """Runs a manage.py command; returns its JSON, if it prints any."""
        printed = self._manage(*words, exit_codes=exit_codes)
        return json.loads(printed.splitlines()[-1]) if printed.strip() else None

    def _manage(self, *words: str, exit_codes: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *words],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in exit_codes, done.stderr
        return done.stdout

    def new_client(self, *, rate_limit: int = 0) -> HttpClient:
        """Returns a client with a key of a new workspace with ``prod-abc`` and ``proj-123``. ``rate_limit``: 0 for none."""
        if not self._ready_clients:
            self._make_clients([f"w-{get_random_string(8)}" for _ in range(24)])
        client = self._ready_clients.pop()
        if rate_limit:
            # Web has not seen the key yet.
            self.rows(
                "UPDATE ingest_apikey k SET rate_limit = %s FROM ingest_workspace w "
                "WHERE w.id = k.workspace_id AND w.name = %s RETURNING k.id",
                rate_limit,
                client.workspace,
            )
        return client

    def _make_clients(self, names: list[str]) -> None:
        """One command for many, because each takes a second of a processor to start."""
        lines = ["from django.core.management import call_command as call"]
        for name in names:
            lines.append(f"call('createworkspace', {name!r}, '--product', 'prod-abc', '--project', 'proj-123')")
            lines.append(f"call('createapikey', {name!r}, '--rate-limit', 'none')")
        printed = self._manage("shell", "--no-imports", "-c", "\n".join(lines)).splitlines()
        keys = [json.loads(line)["apiKey"] for line in printed if "apiKey" in line]
        self._ready_clients += [HttpClient(self.url, key, name) for name, key in zip(names, keys, strict=True)]

    def rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Returns the rows of a query on the deployment's database."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            return connection.execute(statement.encode(), parameters).fetchall()

    def is_up(self) -> bool:
        """Whether web answers and can reach all servers."""
        try:
            return requests.get(f"{self.url}/readyz", timeout=10).status_code == 200
        except requests.RequestException:
            return False


def drain(unsettled: Callable[[], int], what: str, *, seconds: float = PATIENCE_SECONDS) -> None:
    """Waits until nothing is unsettled. Fails with ``what`` if for ``seconds`` nothing has been settled.

    How long a backlog takes depends on what else the machine does, and how much was accepted meanwhile. What is stuck makes no
    progress on any machine.
    """
    least, ends_at = unsettled(), time.monotonic() + seconds
    while least:
        if (left := unsettled()) < least:
            least, ends_at = left, time.monotonic() + seconds
        assert time.monotonic() < ends_at, f"{least} batches are stuck: {what}"
        time.sleep(0.05)


def until(condition: Callable[[], object], what: str, *, seconds: float = PATIENCE_SECONDS) -> None:
    """Waits for a condition; fails with ``what`` after ``seconds``."""
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at, f"waited in vain: {what}"
        time.sleep(0.05)
