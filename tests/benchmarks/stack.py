"""The stack for benchmarks: the embedded servers, and processes of the product that each row starts and stops."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import requests
import urllib3
from django.utils.crypto import get_random_string

from deploy.local.child import Child
from deploy.local.embedded import Servers
from deploy.local.processes import commands
from deploy.local.servers import PostgreSQL
from deploy.local.state import BUCKET, free_port
from tests.store import store_client

ROOT = Path(__file__).resolve().parent.parent.parent
WEB_PORT, BARE_PORT, FLOWER_PORT = (free_port() for _ in range(3))


class BenchStack:
    """Processes on running servers. Every check reads PostgreSQL or the object store directly."""

    def __init__(self, servers: Servers, root: Path) -> None:
        self._servers = servers
        self.dsn = servers.environment["DATABASE_URL"]
        self.environment = {
            **os.environ,
            **servers.environment,
            "EVERMUSE_HOME": str(root),
            "EVERMUSE_SECRET_KEY": "bench-" + "0" * 50,
            "EVERMUSE_ATTACHMENT_ALLOWED_NETWORKS": "127.0.0.0/8",
            "EVERMUSE_ATTACHMENT_HOST_CONCURRENCY": "64",
            "EVERMUSE_LOG_LEVEL": "WARNING",
            "PYTHONPATH": str(ROOT),
        }
        root.mkdir(parents=True, exist_ok=True)
        made = commands(web_port=WEB_PORT, flower_port=FLOWER_PORT, run=str(root))
        self._words = {command.name: command.words for command in made}
        self._log = (root / "bench.log").open("a", buffering=1)
        self.manage("migrate", "--noinput", "--verbosity", "0")
        # minio's default pool has ten connections, so sixteen threads would open new ones all the time.
        self.store = store_client(servers.environment, http_client=urllib3.PoolManager(maxsize=32))
        if not self.store.bucket_exists(BUCKET):
            self.store.make_bucket(BUCKET)

    def manage(self, *words: str, **changes: str) -> Any:
        """Runs a manage.py command; returns its JSON, if it prints any. ``changes``: changes of the environment."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *words],
            env={**self.environment, **changes}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr)
        return json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else None

    @contextmanager
    def running(self, *names: str, settle: float = 4, **changes: str) -> Iterator[dict[str, Child]]:
        """Runs processes during the block; ``bare`` is the view that only inserts. ``settle``: seconds for workers to start;
        ``changes``: changes of the environment."""
        children = []
        for name in names:
            words, environment = self._words["web" if name == "bare" else name], {**self.environment, **changes}
            if name == "bare":
                words = [word.replace(str(WEB_PORT), str(BARE_PORT)) for word in words]
                environment["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.bare_settings"
            children.append(
                Child(
                    name, words, environment, log=lambda line: None if self._log.closed else print(line, file=self._log)
                )
            )
            children[-1].start()
        try:
            for name in names:
                if name in ("web", "bare"):
                    _wait_for(WEB_PORT if name == "web" else BARE_PORT)
            if any(name.startswith("worker") for name in names):
                time.sleep(settle)
            yield {child.name: child for child in children}
        finally:
            for child in children:
                child.stop()
            for child in children:
                if not child.wait(30):
                    child.kill()

    def new_key(self, *, rate_limit: str = "none", workspace: str | None = None) -> str:
        """Returns a key of a new workspace with ``prod-abc`` and ``proj-123``."""
        name = workspace or f"bench-{get_random_string(8)}"
        self.manage("createworkspace", name, "--product", "prod-abc", "--project", "proj-123")
        key: str = self.manage("createapikey", name, "--rate-limit", rate_limit)["apiKey"]
        return key

    def value(self, statement: str, *parameters: object) -> Any:
        """Returns one value from PostgreSQL."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            row = connection.execute(statement.encode(), parameters).fetchone()
            return row[0] if row else None

    def superuser_url(self, database: str) -> str:
        """Returns the address of a database with rights that the product does not have."""
        server = self._servers.server("postgres")
        assert isinstance(server, PostgreSQL)
        return server.superuser_url(database)

    def execute(self, statement: str) -> None:
        """Executes a statement without a result."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement.encode())

    def until(self, statement: str, expected: object, *parameters: object, seconds: float = 600) -> None:
        """Waits until a query returns a value."""
        ends_at = time.monotonic() + seconds
        # Uses one connection: opening new ones would take a quarter of a core from what is measured.
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            while (found := connection.execute(statement.encode(), parameters).fetchone()) != (expected,):
                if time.monotonic() > ends_at:
                    raise AssertionError(f"{statement}: {found}, not {expected}")
                time.sleep(0.02)


def _wait_for(port: int) -> None:
    ends_at = time.monotonic() + 60
    while True:
        try:
            requests.get(f"http://127.0.0.1:{port}/healthz", timeout=2)
            return
        except requests.RequestException:
            if time.monotonic() > ends_at:
                raise
            time.sleep(0.1)
