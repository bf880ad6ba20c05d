"""The embedded servers for tests and benchmarks: started on free ports, killed and restarted one by one."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from deploy.local.child import Child
from deploy.local.leftovers import MARK
from deploy.local.seaweedfs import SeaweedFS
from deploy.local.servers import PostgreSQL, Server, StartFailed, Valkey
from deploy.local.state import BUCKET, Home

READY_SECONDS = 90.0
# Tests and benchmarks create databases, and the journeys have their own bucket.
BUCKETS = (BUCKET, "journeys")


class Servers:
    """PostgreSQL, Valkey and SeaweedFS in one home. ``accept``: which ports they may use. ``is_durable``: whether
    PostgreSQL waits for the disk at each commit.
    """

    def __init__(self, root: Path, *, accept: Callable[[int], bool] = lambda _: True, is_durable: bool = True) -> None:
        self.home = Home(root)
        self.home.prepare()
        self.home.choose_ports("postgres", "valkey", *SeaweedFS.PORTS, accept=accept)
        servers: tuple[Server, ...] = (
            PostgreSQL(self.home, creates_databases=True, is_durable=is_durable),
            Valkey(self.home),
            SeaweedFS(self.home, buckets=BUCKETS),
        )
        self._servers = {server.name: server for server in servers}
        self._children: dict[str, Child] = {}
        self.environment: dict[str, str] = {}
        for server in self._servers.values():
            self.environment |= server.environment()

    def add(self, server: Server) -> None:
        """Add another server, which is not started yet."""
        self._servers[server.name] = server

    def server(self, name: str) -> Server:
        """One of the servers."""
        return self._servers[name]

    def start(self, name: str) -> None:
        """Start one server and keep it running. `wait_ready` waits until it serves."""
        server = self._servers[name]
        server.prepare()
        log = (self.home.root / "log" / f"{name}.log").open("a", buffering=1)
        child = Child(
            name,
            server.command(),
            {**os.environ, MARK: str(self.home.root)},
            stop_signal=server.stop_signal,
            log=lambda line: None if log.closed else print(line, file=log),
        )
        self._children[name] = child
        child.start()

    def wait_ready(self, name: str) -> None:
        """Wait until it serves. Raises StartFailed with the end of its log."""
        ends_at = time.monotonic() + READY_SECONDS
        while not self._servers[name].is_ready():
            if time.monotonic() >= ends_at:
                log = (self.home.root / "log" / f"{name}.log").read_text(errors="replace")
                raise StartFailed(f"{name} did not become ready:\n{log[-2000:]}")
            time.sleep(0.05)

    def stop(self, name: str) -> None:
        """Stop one server until the next `start`."""
        child = self._children.pop(name)
        child.stop()
        if not child.wait(12.0):
            child.kill()
            child.wait(3.0)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a server's whole session. A server that dies is restarted."""
        pid = self._children[name].pid
        if pid is not None:
            os.killpg(pid, number)

    def pid(self, name: str) -> int | None:
        """A server's process id."""
        return self._children[name].pid

    def stop_all(self) -> None:
        """Stop all servers."""
        for name in list(self._children):
            self.stop(name)


@contextlib.contextmanager
def running_servers(root: Path, *, choose: Callable[[Servers], object] = lambda _: None) -> Iterator[Servers]:
    """All three servers, ready, within the block. ``choose`` may replace some before they start."""
    servers = Servers(root)
    choose(servers)
    try:
        for name in ("seaweedfs", "postgres", "valkey"):
            servers.start(name)
        for name in ("postgres", "valkey", "seaweedfs"):
            servers.wait_ready(name)
        yield servers
    finally:
        servers.stop_all()
