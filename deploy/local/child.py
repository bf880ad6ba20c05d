"""Keeps one process running: in its own session, with prefixed output, and restarted whenever it ends."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from evermuse import retry_policy

# After this long the process counts as healthy, and the next wait is short again.
SOUND_SECONDS = 20.0
# glibc returns the memory of each large body to the kernel and requests it again for the next one, page by page. These
# settings make it keep that many bytes. Buffers above 4 MiB are still returned at once, because small objects between
# them would keep them in the heap. They also limit the number of heaps; otherwise each thread would keep its own. See
# mallopt(3). The Dockerfile sets the same.
ALLOCATOR = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 20),
    "MALLOC_TOP_PAD_": str(1 << 20),
}
COLOURS = (36, 32, 33, 35, 34, 96, 92, 93)
NAME_WIDTH = 18

_print_lock = threading.Lock()


def say(name: str, line: str, colour: int | None = None) -> None:
    """Write a line to the common log."""
    prefix = f"{name:<{NAME_WIDTH}} | "
    if colour and sys.stdout.isatty():
        prefix = f"\x1b[{colour}m{prefix}\x1b[0m"
    with _print_lock, contextlib.suppress(OSError, ValueError):
        # The stack must survive a reader that has gone.
        sys.stdout.write(f"{prefix}{line}\n")
        sys.stdout.flush()


class Child:
    """A supervised process. While it keeps dying, the wait before a restart grows. It is restarted without limit."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        stop_signal: signal.Signals = signal.SIGTERM,
        on_start: Callable[[str, int], None] = lambda name, pid: None,
        colour: int | None = None,
        log: Callable[[str], None] | None = None,
        output: Callable[[str], None] | None = None,
    ) -> None:
        self.name, self.stop_signal = name, stop_signal
        self._command, self._environment = list(command), {**ALLOCATOR, **environment}
        self._on_start, self._colour = on_start, colour
        self._log = log or (lambda line: say(name, line, colour))
        # Lines of the process itself. Lines about it always go to the common log.
        self._output = output or self._log
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep_running, name=f"keeps {name}", daemon=True)

    @property
    def pid(self) -> int | None:
        """The process's id, or None if it does not run."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def start(self) -> None:
        """Start it, and keep it running."""
        self._thread.start()

    def stop(self, how: signal.Signals | None = None) -> None:
        """Ask it to end, and do not restart it."""
        self._stopping.set()
        with self._lock:
            if self._process and self._process.poll() is None:
                self._process.send_signal(how or self.stop_signal)

    def wait(self, seconds: float) -> bool:
        """Whether it ended within this many seconds."""
        if self._thread.ident is not None:
            self._thread.join(max(seconds, 0.0))
        return not self._thread.is_alive()

    def kill(self) -> None:
        """Kill it and everything it started."""
        self._stopping.set()
        with self._lock:
            if self._process:
                end_group(self._process.pid)

    def _keep_running(self) -> None:
        ends = 0
        while True:
            began = time.monotonic()
            with self._lock:
                if self._stopping.is_set():
                    return
                process = self._process = self._open()
            self._on_start(self.name, process.pid)
            reader = threading.Thread(target=self._read, args=(process,), daemon=True)
            reader.start()
            code = process.wait()
            # A killed parent leaves processes that hold its port or its shared memory.
            end_group(process.pid)
            reader.join(2.0)
            if self._stopping.is_set():
                return
            ends = 1 if time.monotonic() - began >= SOUND_SECONDS else ends + 1
            wait = retry_policy.RESTARTS.backoff(ends)
            self._log(f"ended ({_told(code)}); starting it again in {wait:.1f} s")
            if self._stopping.wait(wait):
                return

    def _open(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._output(line.rstrip(b"\r\n").decode(errors="replace"))


def end_group(pid: int) -> None:
    """Kill what is left of the session that a process led."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _told(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
