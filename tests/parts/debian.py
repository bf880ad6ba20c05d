"""Servers of a newer Debian, from a directory with its root file system.

DEBIAN_ROOT names the directory. FROM_DEBIAN names the servers that come from it, separated by commas.

The directory's /usr takes the place of the system's, in a mount namespace of the server alone. Everything else stays the
system's, so files and ports are where the tests expect them. The system's /bin and /lib must be links into /usr.
"""

import os
from pathlib import Path

ROOT = os.environ.get("DEBIAN_ROOT", "")
WANTED = frozenset(name.strip() for name in os.environ.get("FROM_DEBIAN", "").split(",") if name.strip())
# Where the packages put the servers.
PROGRAMS = {
    "postgres": "/usr/lib/postgresql/*/bin/postgres",
    "pgbouncer": "/usr/sbin/pgbouncer",
    "rabbitmq": "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "redis": "/usr/bin/redis-server",
}
MISSING = (
    "name a directory in DEBIAN_ROOT that was made by: debootstrap --variant=minbase"
    " --include=postgresql-17,pgbouncer,rabbitmq-server,redis-server trixie DIRECTORY"
)


def missing(*names: str) -> str | None:
    """Why these servers cannot be run, or None."""
    unknown = [name for name in names if name not in PROGRAMS]
    if unknown:
        return f"FROM_DEBIAN must name some of {', '.join(PROGRAMS)}, not {', '.join(unknown)}"
    return None if all(_found(name) for name in names) else MISSING


def _found(name: str) -> list[Path]:
    return sorted(Path(ROOT).glob(PROGRAMS[name].lstrip("/"))) if ROOT else []


def program(name: str) -> str:
    """The path at which the server is found once /usr is the directory's."""
    return f"/{_found(name)[-1].relative_to(ROOT)}"


def prefix() -> list[str]:
    """The words before a command that run it with the directory's /usr, and not as root."""
    script = 'mount --bind "$0/usr" /usr && exec unshare --user --map-user=65534 --map-group=65534 "$@"'
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, ROOT]
