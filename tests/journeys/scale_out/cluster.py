"""The product on many machines: a proxy, web processes, workers, two beats, a broker, a primary with a standby, and a store."""

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import psycopg
import requests

from deploy.local.child import Child
from deploy.local.embedded import BUCKETS
from deploy.local.seaweedfs import SeaweedFS
from deploy.local.servers import PostgreSQL, Server, Valkey
from deploy.local.state import Home
from tests.journeys.deployment import BUCKET, LEASE_SECONDS, ROOT, Deployment, until
from tests.journeys.scale_out import network
from tests.journeys.scale_out.network import Machine
from tests.parts import rabbitmq
from tests.parts.rabbitmq import RabbitMQ
from tests.parts.standby import Standby

CADDY = os.environ.get("CADDY") or shutil.which("caddy") or ""
NO_CADDY = "caddy is not installed: apt-get install caddy, or name the program in CADDY"
PROXY, STORE, REDIS, BROKER = Machine("proxy", 10), Machine("store", 61), Machine("redis", 62), Machine("broker", 63)
PRIMARY, STANDBY = Machine("db-1", 51), Machine("db-2", 52)
SERVERS = (PRIMARY, STANDBY, STORE, REDIS, BROKER)
PORT = 8000
DEPLOY = ROOT / "evermuse/docs/deploy.md"
CELERY = (sys.executable, "-m", "celery", "-A", "evermuse")
QUIET = ("--without-gossip", "--without-mingle")


def missing() -> str | None:
    """What is needed and not here, or None."""
    return network.missing() or (None if CADDY else NO_CADDY) or rabbitmq.missing()


def of_kind(kind: str, count: int, first: int) -> tuple[Machine, ...]:
    """Machines with numbers in their names."""
    return tuple(Machine(f"{kind}-{n + 1}", first + n) for n in range(count))


class Cluster(Deployment):
    """All machines. ``root``: a directory for everything that they write."""

    def __init__(self, root: Path, *, webs: int, landings: int, files: int, beats: int) -> None:
        self.root = root
        self.webs, self.landings = of_kind("web", webs, 11), of_kind("landing", landings, 21)
        self.files, self.beats = of_kind("files", files, 31), of_kind("beat", beats, 41)
        self.workers = (*self.landings, *self.files, *self.beats)
        self._children: dict[str, Child] = {}
        home = Home(root / "servers")
        home.prepare()
        home.choose_ports("postgres", "valkey", *SeaweedFS.PORTS)
        self.primary = PostgreSQL(home, host=PRIMARY.address)
        self.standby = Standby(home.root / "standby", self.primary.superuser_url("postgres"), STANDBY.address, 5432)
        self._store = SeaweedFS(home, buckets=BUCKETS, host=STORE.address)
        self._redis = Valkey(home, host=REDIS.address)
        self._broker = RabbitMQ(home.root / "rabbitmq", host=BROKER.address)
        of_primary = self.primary.environment()["DATABASE_URL"]
        both = of_primary.replace(
            f"@{PRIMARY.address}:{self.primary.port}",
            f"@{PRIMARY.address}:{self.primary.port},{STANDBY.address}:{self.standby.port}",
        )
        dsn = f"{both}?target_session_attrs=read-write"
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("EVERMUSE_", "MINIO_"))},
            **self._store.environment(),
            **self._broker.environment(),
            **rabbitmq.SAFEST,
            "DATABASE_URL": dsn,
            "DATABASE_REPLICA_URL": f"{both}?target_session_attrs=standby",
            "REDIS_URL": self._redis.environment()["REDIS_URL"],
            "MINIO_BUCKET": BUCKET,
            "EVERMUSE_SECRET_KEY": "scale-out-" + "0" * 50,
            "EVERMUSE_ALLOWED_HOSTS": ",".join(machine.address for machine in (PROXY, *self.webs)),
            "EVERMUSE_TRUSTED_PROXIES": f"{PROXY.address}/32",
            "EVERMUSE_ATTACHMENT_ALLOWED_NETWORKS": f"{network.OUTSIDE}/32",
            "EVERMUSE_LEASE_SECONDS": str(LEASE_SECONDS),
            "EVERMUSE_SWEEP_SECONDS": "1",
            "EVERMUSE_HOME": str(root),
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(ROOT),
        }
        super().__init__(url=f"http://{PROXY.address}:{PORT}", dsn=f"{dsn}&connect_timeout=2", environment=environment)

    @property
    def machines(self) -> tuple[Machine, ...]:
        return (PROXY, *SERVERS, *self.webs, *self.workers)

    def start(self) -> None:
        """Builds the network and starts everything. The standby streams from the primary."""
        (self.root / "log").mkdir(exist_ok=True)
        network.build(self.machines, self.root)
        for machine, server in ((STORE, self._store), (REDIS, self._redis), (BROKER, self._broker)):
            self._serve(machine, server)
        self._start_databases()
        for machine, server in ((STORE, self._store), (REDIS, self._redis), (BROKER, self._broker)):
            until(server.is_ready, f"{machine.name} serves")
        self.manage("migrate", "--noinput", "--verbosity", "0")
        self.use_store(self.environment)
        for machine in (*self.webs, *self.workers):
            self.power_on(machine)
        files = {"EVERMUSE_DOMAIN": self.url, "EVERMUSE_FILES_DOMAIN": f"http://files.localhost:{PORT + 1}"}
        caddy = [CADDY, "run", "--config", str(self._caddyfile()), "--adapter", "caddyfile"]
        self._run(PROXY, caddy, {**self.environment, **files, "HOME": str(self.root)})
        until(self.is_up, "a web process answers through the proxy")
        for machine in self.webs:
            until(lambda machine=machine: self.answers(machine), f"{machine.name} answers")  # type: ignore[misc]

    def _caddyfile(self) -> Path:
        """The shipped file, with the lines for several machines of evermuse/docs/deploy.md."""
        lines = textwrap.dedent(re.findall(r"```text\n(\s+to 10\..*?)```", DEPLOY.read_text(), re.DOTALL)[0])
        addresses = " ".join(f"{machine.address}:{PORT}" for machine in self.webs)
        lines = re.sub(r"^to .*", f"to {addresses}", lines)
        shipped = (ROOT / "deploy/caddy/Caddyfile").read_text()
        made, count = re.subn(r"dynamic a web 8000 \{.*?\}", lambda _: lines, shipped, count=1, flags=re.DOTALL)
        assert count == 1
        path = self.root / "Caddyfile"
        path.write_text(made)
        return path

    def _start_databases(self) -> None:
        self.primary.prepare()
        with (self.root / "servers/postgres/pg_hba.conf").open("a") as rules:
            rules.writelines(
                f"host {what} all {network.NETWORK}.0/24 scram-sha-256\n" for what in ("all", "replication")
            )
        self._serve(PRIMARY, self.primary)
        until(self.primary.is_ready, "the primary serves")
        self._serve(STANDBY, self.standby)
        until(self.standby.is_ready, "the standby serves")
        until(self.standby.has_replayed, "the standby has replayed everything")

    def answers(self, machine: Machine) -> bool:
        """Whether a web process is ready."""
        try:
            return requests.get(f"http://{machine.address}:{PORT}/readyz", timeout=3).status_code == 200
        except requests.RequestException:
            return False

    def wait_for_standby(self, *, is_synchronous: bool) -> None:
        """Chooses how the primary commits: after the standby has the transaction on disk, or without waiting for it."""
        with psycopg.connect(self.primary.superuser_url("postgres"), autocommit=True) as connection:
            connection.execute(
                f"ALTER SYSTEM SET synchronous_standby_names = '{'*' if is_synchronous else ''}'".encode()
            )
            connection.execute("SELECT pg_reload_conf()")
            wanted = "sync" if is_synchronous else "async"
            until(
                lambda: (wanted,) in connection.execute("SELECT sync_state FROM pg_stat_replication").fetchall(),
                f"replication is {wanted}",
            )

    def power_on(self, machine: Machine) -> None:
        """Starts a web process, worker or beat."""
        kind = machine.name.partition("-")[0]
        of_machine = {**self.environment, "TMPDIR": str(self.root / machine.name), "EVERMUSE_PORT": str(PORT)}
        Path(of_machine["TMPDIR"]).mkdir(exist_ok=True)
        machine.mend()
        self._run(machine, _words(kind, machine, self.root), of_machine)

    def power_off(self, machine: Machine) -> None:
        """Takes a machine away at once: no connection of it is closed, its peers just hear nothing more."""
        machine.cut()
        self._children.pop(machine.name).kill()
        machine.kill_all()

    def promote(self) -> None:
        """Makes the standby the primary."""
        assert self.standby.rows("SELECT pg_promote(true, 60)") == [(True,)]

    def stop(self) -> None:
        """Ends everything."""
        for child in self._children.values():
            child.kill()
        self._children.clear()

    def _serve(self, machine: Machine, server: Server) -> None:
        server.prepare()
        self._run(machine, server.command(), dict(os.environ))

    def _run(self, machine: Machine, words: Sequence[str], environment: dict[str, str]) -> None:
        log = (self.root / "log" / f"{machine.name}.log").open("a", buffering=1)
        child = Child(machine.name, machine.command(words), environment, log=lambda line: print(line, file=log))
        self._children[machine.name] = child
        child.start()


def _words(kind: str, machine: Machine, root: Path) -> list[str]:
    """As in deploy/compose.yaml, with few processes on each machine."""
    if kind == "web":
        serve = [sys.executable, "-m", "evermuse.web", "--host", machine.address, "--port", str(PORT)]
        return [*serve, "--workers", "1"]
    if kind == "landing":
        return [*CELERY, "worker", "-n", "landing@%h", "-Q", "landing,maintenance", "-P", "prefork", "-c", "1", *QUIET]
    if kind == "files":
        return [*CELERY, "worker", "-n", "attachments@%h", "-Q", "attachments", "-P", "threads", "-c", "4", *QUIET]
    return [*CELERY, "beat", "--schedule", str(root / f"{machine.name}-schedule"), "--pidfile="]
