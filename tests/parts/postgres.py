"""PostgreSQL of a newer Debian, in place of the embedded one."""

import subprocess
from pathlib import Path

from deploy.local.servers import PostgreSQL
from tests.parts import debian


class DebianPostgreSQL(PostgreSQL):
    """Its programs are Debian's; the rest is as in the embedded stack."""

    def _program(self, name: str) -> list[str]:
        return [*debian.prefix(), str(Path(debian.program("postgres")).with_name(name))]


def debian_version() -> str:
    """The version of Debian's PostgreSQL."""
    command = [*debian.prefix(), debian.program("postgres"), "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[2]
