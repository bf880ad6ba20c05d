"""The real stack for journeys: web, workers and beat as separate processes, killed with real signals."""

import functools
import itertools
import os
import secrets
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import redis

from deploy.local.child import Child
from deploy.local.embedded import Servers
from deploy.local.processes import ProcessCommand, commands
from deploy.local.state import is_free
from tests.journeys.deployment import BUCKET as BUCKET
from tests.journeys.deployment import LEASE_SECONDS as LEASE_SECONDS
from tests.journeys.deployment import PATIENCE_SECONDS, Deployment
from tests.journeys.deployment import ROOT as ROOT
from tests.journeys.deployment import until as until
from tests.journeys.proxy import StoreProxy
from tests.parts import chosen

DATABASE = "journeys"
# An empty database with all tables, if the test run has made one. A copy takes a tenth of the time of the migrations.
MIGRATED = "evermuse_migrated"
NAMES = ("web", "worker-landing", "worker-attachments", "beat")
BEAT_2 = "beat-2"
BROKER_NUMBER, REDIS_NUMBER = 4, 5
# After this time, web ends a request whose body does not arrive.
BODY_SECONDS = 4


class Stack(Deployment):
    """The product's processes on the test run's servers, with a separate database, broker and bucket."""

    def __init__(self, servers: Servers, root: Path) -> None:
        self.servers, self.root = servers, root
        given = servers.environment
        with psycopg.connect(given["DATABASE_URL"].rpartition("/")[0] + "/postgres", autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)".encode())
            is_migrated = bool(connection.execute("SELECT FROM pg_database WHERE datname = %s", [MIGRATED]).fetchall())
            template = f" TEMPLATE {MIGRATED}" if is_migrated else ""
            connection.execute(f"CREATE DATABASE {DATABASE}{template}".encode())
        dsn = given["DATABASE_URL"].rpartition("/")[0] + f"/{DATABASE}"
        broker = given["CELERY_BROKER_URL"].rpartition("/")[0]
        self.broker, of_broker = chosen.broker(servers, f"{broker}/{BROKER_NUMBER}")
        self.port, flower_port = free_port(), free_port()
        self.store_proxy = StoreProxy(given["MINIO_ENDPOINT"])
        environment = {
            **os.environ,
            "MINIO_ENDPOINT": self.store_proxy.endpoint,
            "DATABASE_URL": chosen.pooled(servers, dsn),
            "DATABASE_DIRECT_URL": dsn,
            **of_broker,
            "REDIS_URL": f"{broker}/{REDIS_NUMBER}",
            "MINIO_BUCKET": BUCKET,
            "EVERMUSE_HOME": str(root),
            "EVERMUSE_PORT": str(self.port),
            "EVERMUSE_DOWNLOAD_URLS": "web",
            "EVERMUSE_LEASE_SECONDS": str(LEASE_SECONDS),
            "EVERMUSE_SWEEP_SECONDS": "1",
            "EVERMUSE_BODY_TIMEOUT_SECONDS": str(BODY_SECONDS),
            "EVERMUSE_LANDING_CONCURRENCY": "2",
            "EVERMUSE_WEB_WORKERS": "2",
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(ROOT),
        }
        super().__init__(url=f"http://127.0.0.1:{self.port}", dsn=dsn, environment=environment)
        self._own = threading.local()
        root.mkdir(parents=True, exist_ok=True)
        self.log = (root / "stack.log").open("a", buffering=1)
        if not is_migrated:
            self.manage("migrate", "--noinput", "--verbosity", "0")
        self.use_store(given)
        os.environ["EVERMUSE_LANDING_CONCURRENCY"] = os.environ["EVERMUSE_WEB_WORKERS"] = "2"
        try:
            made = commands(web_port=self.port, flower_port=flower_port, run=str(root))
        finally:
            del os.environ["EVERMUSE_LANDING_CONCURRENCY"], os.environ["EVERMUSE_WEB_WORKERS"]
        self.commands = {command.name: command for command in made}
        words = [word.replace("beat-schedule", f"{BEAT_2}-schedule") for word in self.commands["beat"].words]
        self.commands[BEAT_2] = ProcessCommand(BEAT_2, words)
        self.children: dict[str, Child] = {}

    def rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Returns the rows of a query. Each thread keeps its connection.

        Waiting tests ask twenty times a second, and opening a connection takes a hundred times as much processor time as
        a query.
        """
        kept: psycopg.Connection[Any] | None = getattr(self._own, "connection", None)
        if kept is None or has_ended(kept):
            if kept is not None:
                kept.close()
            kept = self._own.connection = psycopg.connect(self.dsn, autocommit=True, prepare_threshold=None)
        return kept.execute(statement.encode(), parameters).fetchall()

    def start(self, *names: str) -> None:
        """Starts processes by name and keeps them running."""
        for name in names:
            child = Child(
                name,
                self.commands[name].words,
                self.environment,
                log=lambda line, name=name: None if self.log.closed else print(f"{name} | {line}", file=self.log),  # type: ignore[misc]
            )
            self.children[name] = child
            child.start()

    def stop(self, *names: str) -> None:
        """Sends SIGTERM and waits until the processes have ended."""
        stopping = [self.children.pop(name) for name in names]
        for child in stopping:
            child.stop()
        for child in stopping:
            if not child.wait(PATIENCE_SECONDS):
                child.kill()
                child.wait(3.0)
                raise AssertionError(f"{child.name} did not end on SIGTERM")

    def stop_all(self) -> None:
        """Ends everything."""
        for child in self.children.values():
            child.stop()
        for child in self.children.values():
            if not child.wait(60.0):
                child.kill()
        self.children.clear()
        if hasattr(self._own, "connection"):
            self._own.connection.close()
        self.store_proxy.close()
        self.log.close()

    def pid(self, name: str) -> int:
        """Returns the process id of a name, once it runs."""
        until(lambda: self.children[name].pid is not None, f"{name} runs")
        pid = self.children[name].pid
        assert pid is not None
        return pid

    def signal(self, name: str, number: signal.Signals) -> None:
        """Sends a signal to a process and all of its children."""
        os.killpg(self.pid(name), number)

    def kill(self, name: str) -> None:
        """Kills a process (-9) with its children; it is started again."""
        pid = self.pid(name)
        os.killpg(pid, signal.SIGKILL)
        until(lambda: self.children[name].pid not in (pid, None), f"{name} is back")

    def kill_children(self, name: str) -> None:
        """Kills (-9) only the children of a process."""
        for child in psutil.Process(self.pid(name)).children():
            child.kill()

    @contextmanager
    def frozen(self, *names: str) -> Iterator[None]:
        """Stops (SIGSTOP) processes of the product, or servers, during the block."""
        pids = [
            pid for name in names if (pid := self.servers.pid(name) if name not in self.children else self.pid(name))
        ]
        for pid in pids:
            os.killpg(pid, signal.SIGSTOP)
        # On a loaded machine, other threads of the process run until the one that got the signal is scheduled.
        until(lambda: all(has_stopped(pid) for pid in pids), f"{names} have stopped")
        try:
            yield
        finally:
            for pid in pids:
                os.killpg(pid, signal.SIGCONT)

    def manage_later(self, *words: str) -> subprocess.Popen[bytes]:
        """Starts a manage.py command in the background, to be awaited or killed."""
        quiet = subprocess.DEVNULL
        return subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), *words], env=self.environment, stdout=quiet, stderr=quiet
        )

    @contextmanager
    def table_locked(self, table: str, mode: str = "EXCLUSIVE") -> Iterator[psycopg.Connection[Any]]:
        """Locks a table during the block, so that its writers wait."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute(f"LOCK TABLE {table} IN {mode} MODE".encode())
            yield connection
            connection.rollback()

    def lock_next(self, table: str, mode: str = "EXCLUSIVE") -> psycopg.Connection[Any]:
        """Queues for a lock behind those who wait already; it is held until the connection is closed."""
        connection = psycopg.connect(self.dsn)
        statement = f"LOCK TABLE {table} IN {mode} MODE".encode()
        waiting = threading.Thread(target=connection.execute, args=(statement,), daemon=True)
        waiting.start()
        until(
            lambda: (
                self.rows("SELECT count(*) FROM pg_locks WHERE pid = %s AND NOT granted", connection.info.backend_pid)
                == [(1,)]
            ),
            "the lock is queued for",
        )
        return connection

    def waits_for_lock(self, table: str) -> bool:
        """Whether a session waits for a lock on a table."""
        found = self.rows("SELECT count(*) FROM pg_locks WHERE relation = %s::regclass AND NOT granted", table)
        return bool(found[0][0])

    def cut_connections(self) -> None:
        """Terminates every other client's session of the stack's database, and waits for their ends.

        Our role may not terminate autovacuum's.
        """
        self.rows(
            "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        self._own.connection.close()

    def set_read_only(self, value: bool) -> None:
        """Makes the database reject writes, as with a full disk; or accept them again."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(f"ALTER DATABASE {DATABASE} SET default_transaction_read_only = {value}".encode())
        self.cut_connections()

    def rates(self) -> "redis.Redis":
        """Returns a client of the Redis with the rate limits."""
        return redis.Redis.from_url(self.environment["REDIS_URL"], socket_timeout=5)


def has_ended(connection: psycopg.Connection[Any]) -> bool:
    """Whether a connection without a running query was closed by either side. The server sends nothing else to it."""
    if connection.closed:
        return True
    readable = select.poll()
    readable.register(connection.fileno(), select.POLLIN)
    return bool(readable.poll(0))


def has_stopped(pid: int) -> bool:
    """Whether every thread of a process and of its children in its group is stopped by a signal."""
    children = psutil.Process(pid).children(recursive=True)
    processes = [psutil.Process(pid), *(child for child in children if os.getpgid(child.pid) == os.getpgid(pid))]
    states = [
        file.read_text().rpartition(")")[2].split()[0]
        for process in processes
        for file in Path(f"/proc/{process.pid}/task").glob("*/stat")
    ]
    return set(states) <= {"T", "Z"}


def lives(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """Runs calls in threads that start together; returns their results in order. Raises the first exception."""
    results: list[Any] = [None] * len(calls)
    barrier = threading.Barrier(len(calls))

    def run(index: int) -> None:
        barrier.wait()
        try:
            results[index] = calls[index]()
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


@functools.cache
def ports() -> Iterator[int]:
    # Below the kernel's range for outgoing connections, so that a restarted process gets the same port again. The processes
    # of one test run choose at the same time, so each has its own share.
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = range(30_000 + number, 32_000, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    return itertools.cycle(secrets.SystemRandom().sample(share, len(share)))


def free_port() -> int:
    """Returns a port on which no process listens, and which was not returned a short time ago.

    A server that needs many ports asks for all of them before it listens on the first.
    """
    return next(port for port in ports() if is_free(port))
