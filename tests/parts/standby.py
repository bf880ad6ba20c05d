"""A streaming standby of the tests' PostgreSQL."""

import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from deploy.local.embedded import Servers
from deploy.local.servers import POSTGRES_PACKAGE, StartFailed, package_file, unprivileged
from deploy.local.state import free_port


@dataclass(frozen=True)
class Standby:
    """``root``: its directory. ``primary``: the superuser's URL."""

    root: Path
    primary: str
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    name: str = "standby"
    is_talkative: bool = False
    stop_signal: signal.Signals = signal.SIGINT

    def prepare(self) -> None:
        if self.root.exists():
            return
        self.root.parent.mkdir(parents=True, exist_ok=True)
        command = [
            *unprivileged(), package_file(POSTGRES_PACKAGE, "pginstall/bin/pg_basebackup"), "-D", str(self.root),
            "-d", self.primary, "--checkpoint=fast", "--write-recovery-conf", "--no-sync",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
        if done.returncode:
            raise StartFailed(f"pg_basebackup failed: {done.stderr.strip()}")

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": self.host, "port": self.port, "unix_socket_directories": "", "max_connections": 200,
            "fsync": "off", "log_min_messages": "warning",
        }  # fmt: skip
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        program = package_file(POSTGRES_PACKAGE, "pginstall/bin/postgres")
        return [*unprivileged(), program, "-D", str(self.root), *options]

    def is_ready(self) -> bool:
        try:
            return bool(self.rows("SELECT pg_is_in_recovery()"))
        except psycopg.Error:
            return False

    def environment(self) -> dict[str, Any]:
        return {}

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a superuser's statement on the standby."""
        with self._connect() as connection:
            return connection.execute(statement.encode()).fetchall()

    def execute(self, statement: str) -> None:
        """Runs a superuser's statement that has no rows."""
        with self._connect() as connection:
            connection.execute(statement.encode())

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        given = conninfo_to_dict(self.primary) | {
            "host": self.host, "port": self.port, "connect_timeout": 2, "dbname": "postgres",
        }  # fmt: skip
        return psycopg.connect(**given, autocommit=True)  # type: ignore[arg-type]

    def has_replayed(self) -> bool:
        """Whether it has everything that the primary has committed."""
        with psycopg.connect(self.primary, autocommit=True) as connection:
            [written] = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchall()
        return bool(self.rows(f"SELECT pg_last_wal_replay_lsn() >= '{written[0]}'::pg_lsn")[0][0])


def of(servers: Servers) -> Standby:
    """A standby of the running PostgreSQL, not started yet."""
    primary = servers.server("postgres").superuser_url("postgres")  # type: ignore[attr-defined]
    return Standby(servers.home.root / "standby", primary)
