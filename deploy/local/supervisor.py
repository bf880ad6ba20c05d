"""The supervisor: starts the stack's processes, keeps them running, and ends them on a signal."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType

from deploy.local.child import COLOURS, Child, say
from deploy.local.leftovers import MARK, Registry
from deploy.local.processes import ProcessCommand
from deploy.local.servers import Server, StartFailed
from deploy.local.state import Home

READY_SECONDS = 90.0
# Together these are less than the 45 seconds that a stop may take.
APPS_STOP_SECONDS, SERVERS_STOP_SECONDS = 25.0, 12.0
LOG_BYTES = 10 * 1024 * 1024


def file_log(path: Path) -> Callable[[str], None]:
    """Write lines to a file. At `LOG_BYTES` it is rotated, and one older file is kept."""
    handler = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8", errors="replace")
    log = logging.Logger(path.name)
    log.addHandler(handler)
    return log.info


class Stopped(Exception):
    """A signal asked to stop."""


class Supervisor:
    """The processes of one stack. Servers stop last, because applications need them to finish."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.registry = Registry(home)
        self._servers: list[Child] = []
        self._apps: list[Child] = []
        self._signals = 0
        self._parent = os.getppid()
        self._wakes = threading.Event()

    def listen(self) -> None:
        """Handle SIGTERM, SIGINT and SIGHUP as requests to stop."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        self._wakes.set()

    def check(self) -> None:
        """Raise Stopped if a signal came, or if the `make` that started us has gone."""
        if self._signals or ("MAKELEVEL" in os.environ and os.getppid() != self._parent):
            raise Stopped

    def start_server(self, server: Server) -> None:
        """Start a server. `wait_until` waits until it serves."""
        output = None
        if server.is_talkative:
            path = self.home.run / f"{server.name}.log"
            output = file_log(path)
            say(server.name, f"its log goes to {path}")
        child = self._child(server.name, server.command(), dict(os.environ), server.stop_signal, output)
        self._servers.append(child)
        child.start()

    def start_app(self, command: ProcessCommand, environment: Mapping[str, str]) -> None:
        """Start a process of the product."""
        child = self._child(command.name, command.words, environment, signal.SIGTERM)
        self._apps.append(child)
        child.start()

    def _child(
        self,
        name: str,
        words: Sequence[str],
        environment: Mapping[str, str],
        stop_signal: signal.Signals,
        output: Callable[[str], None] | None = None,
    ) -> Child:
        colour = COLOURS[(len(self._servers) + len(self._apps)) % len(COLOURS)]
        marked = {**environment, MARK: str(self.home.root)}
        return Child(
            name, words, marked, stop_signal=stop_signal, on_start=self.registry.note, colour=colour, output=output
        )

    def wait_until(self, what: str, is_ready: Callable[[], bool]) -> None:
        """Wait for a condition for a limited time. Raises StartFailed, or Stopped on a signal."""
        ends_at = time.monotonic() + READY_SECONDS
        while not is_ready():
            self.check()
            if time.monotonic() >= ends_at:
                raise StartFailed(
                    f"{what} did not become ready within {READY_SECONDS:.0f} seconds: see its lines above, or its log"
                )
            self._wakes.wait(0.1)

    def watch(self) -> None:
        """Wait for a signal."""
        while True:
            self.check()
            self._wakes.wait(0.5)

    def stop(self) -> None:
        """End all processes, applications first. What does not end in time is killed, with everything it started."""
        say("stack", "stopping")
        self._end(self._apps, APPS_STOP_SECONDS)
        self._end(list(reversed(self._servers)), SERVERS_STOP_SECONDS)
        self.home.processes_file.unlink(missing_ok=True)
        say("stack", "stopped")

    def _end(self, children: Sequence[Child], seconds: float) -> None:
        signals = self._signals
        for child in children:
            child.stop()
        ends_at = time.monotonic() + seconds
        # A second signal kills at once.
        while (
            any(not child.wait(0.05) for child in children) and time.monotonic() < ends_at and self._signals == signals
        ):
            time.sleep(0.05)
        for child in children:
            if not child.wait(0):
                say("stack", f"{child.name} did not end in time: killed")
                child.kill()
                child.wait(3.0)
