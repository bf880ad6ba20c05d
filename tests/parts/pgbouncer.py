"""PgBouncer in transaction mode before the tests' PostgreSQL."""

import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from deploy.local.servers import unprivileged
from deploy.local.state import free_port, write_private
from tests.parts import debian

# Another version than the system's, for example one that keeps prepared statements.
PROGRAM = os.environ.get("PGBOUNCER") or shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or ""
MISSING = "pgbouncer is not installed: apt-get install pgbouncer, or name the program in PGBOUNCER"
IS_DEBIANS = "pgbouncer" in debian.WANTED
# A server that disappears without closing its connections is noticed after 10 seconds.
SILENT_SERVER = ("tcp_user_timeout = 10000", "tcp_keepidle = 5", "tcp_keepintvl = 2", "tcp_keepcnt = 3")


def missing() -> str | None:
    """Why it cannot be run, or None."""
    if IS_DEBIANS:
        return debian.missing("pgbouncer")
    return None if PROGRAM else MISSING


def _command(is_debians: bool) -> list[str]:
    if is_debians:
        return [*debian.prefix(), debian.program("pgbouncer")]
    return [*unprivileged(), PROGRAM]


def version(is_debians: bool = IS_DEBIANS) -> tuple[int, ...]:
    """The program's version."""
    printed = subprocess.run([*_command(is_debians), "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, printed.split()[1].split(".")))


def keeps_statements() -> bool:
    """Whether the program can keep prepared statements."""
    return version() >= (1, 21)


@dataclass(frozen=True)
class PgBouncer:
    """``root``: its directory. ``target``: PostgreSQL's URL. ``sessions``: the most that it opens for a database."""

    root: Path
    target: str
    sessions: int = 20
    port: int = field(default_factory=free_port)
    name: str = "pgbouncer"
    is_talkative: bool = False
    stop_signal: signal.Signals = signal.SIGTERM  # at once

    @property
    def _config(self) -> Path:
        return self.root / "pgbouncer.ini"

    def prepare(self) -> None:
        given = conninfo_to_dict(self.target)
        self.root.mkdir(parents=True, exist_ok=True)
        write_private(self.root / "pgbouncer.users", f'"{given["user"]}" "{given["password"]}"\n')
        lines = [
            "[databases]", f"* = host={given['host']} port={given['port']}",
            "[pgbouncer]", "listen_addr = 127.0.0.1", f"listen_port = {self.port}", "unix_socket_dir =",
            "auth_type = scram-sha-256", f"auth_file = {self.root}/pgbouncer.users", "pool_mode = transaction",
            f"default_pool_size = {self.sessions}", "max_client_conn = 500",
            # Otherwise it would wait 15 seconds after a failed login, and let clients wait for two minutes.
            "server_login_retry = 1", "query_wait_timeout = 5", "log_connections = 0", "log_disconnections = 0",
            # The lines that evermuse/docs/deploy.md asks for.
            *SILENT_SERVER, "ignore_startup_parameters = options", *(["max_prepared_statements = 200"] if keeps_statements() else []),
        ]  # fmt: skip
        write_private(self._config, "\n".join(lines) + "\n")

    def lead_to(self, port: int) -> None:
        """Write another port of PostgreSQL into its configuration, which SIGHUP makes it read."""
        write_private(self._config, re.sub(r" port=\d+", f" port={port}", self._config.read_text(), count=1))

    def command(self) -> list[str]:
        return [*_command(IS_DEBIANS), str(self._config)]

    def url(self, target: str) -> str:
        """The URL of a database of the target, through the pooler."""
        return f"{target.rpartition('@')[0]}@127.0.0.1:{self.port}/{conninfo_to_dict(target)['dbname']}"

    def is_ready(self) -> bool:
        try:
            with psycopg.connect(make_conninfo(self.url(self.target), connect_timeout=2)):
                return True
        except psycopg.Error:
            return False

    def environment(self) -> dict[str, Any]:
        return {}
