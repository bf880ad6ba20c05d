"""The watchdog of downloads: an overall deadline and a minimum rate, in the headers too.

A time-out of a socket bounds one read, so that a server that drips a byte a second holds a thread for ever. Here one
thread of the process looks at every transfer and shuts its socket down when its time is over, or when somebody cancels
it; the blocked read then returns at once.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from attachments.failures import Failure

TICK_SECONDS = 0.5
# Before the rate is looked at: time for names, handshakes, redirects and a slow first byte.
GRACE_SECONDS = 30.0
MIN_BYTES_PER_SECOND = 1024
# The rate is that of a window, so that a fast beginning does not excuse a stall.
WINDOW_SECONDS = 30.0
# A transfer that was stopped returns at once, or when the object store does. One that does not hangs in our own code.
HANG_SECONDS = 120.0
# A transfer that took this long at less than this rate leaves its slot to others.
SLOW_AFTER_SECONDS = 5.0
SLOW_BYTES_PER_SECOND = 256 * 1024


@dataclass(eq=False, slots=True)
class Transfer:
    """A download under watch. ``bytes_read`` grows as it goes; ``stopped`` says why it was shut down, if it was.

    ``is_kept``: its connection served an earlier one, so that the server may have closed it just now. ``leave_slot`` is
    called when the transfer is slow, until it returns True.
    """

    deadline_at: float
    started_at: float = field(default_factory=time.monotonic)
    bytes_read: int = 0
    stopped: Failure | None = None
    stopped_at: float = 0.0
    is_kept: bool = False
    leave_slot: Callable[[], bool] | None = None
    has_left: bool = False
    _socket: socket.socket | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _window_at: float = field(default_factory=lambda: time.monotonic() + GRACE_SECONDS - WINDOW_SECONDS)
    _window_bytes: int = 0

    def attach(self, connection: socket.socket, *, is_kept: bool = False) -> None:
        """Watch this socket from now on: a duplicate of it, which outlives a change to TLS."""
        with self._lock:
            self._drop()
            self.is_kept = is_kept
            # Not `dup`, which a TLS socket refuses.
            self._socket = socket.fromfd(connection.fileno(), connection.family, connection.type)
            if self.stopped:
                self._shut()

    def stop(self, failure: Failure) -> None:
        """End the transfer: what blocks on its socket returns."""
        with self._lock:
            if self.stopped is None:
                self.stopped, self.stopped_at = failure, time.monotonic()
            self._shut()

    def close(self) -> None:
        """Let go of the duplicate."""
        with self._lock:
            self._drop()

    def judge(self, now: float) -> None:
        """What the watchdog does at each tick."""
        if now >= self.deadline_at:
            seconds = round(self.deadline_at - self.started_at)
            self.stop(Failure("DEADLINE", f"the download took longer than {seconds} seconds", is_transient=True))
        elif now - self._window_at >= WINDOW_SECONDS:
            if self.bytes_read - self._window_bytes < MIN_BYTES_PER_SECOND * WINDOW_SECONDS:
                message = f"less than {MIN_BYTES_PER_SECOND} bytes a second over {WINDOW_SECONDS:.0f} seconds"
                self.stop(Failure("TOO_SLOW", message, is_transient=True))
            self._window_at, self._window_bytes = now, self.bytes_read
        took, leave = now - self.started_at, self.leave_slot
        if leave and not self.has_left and took >= SLOW_AFTER_SECONDS:
            self.has_left = self.bytes_read < SLOW_BYTES_PER_SECOND * took and leave()

    def hangs(self, now: float) -> bool:
        """Whether it goes on although it was stopped long ago."""
        return self.stopped is not None and now - self.stopped_at >= HANG_SECONDS

    def _shut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Watchdog:
    """The thread that looks at every transfer of the process; started at first use, so after any fork."""

    def __init__(self) -> None:
        self._transfers: set[Transfer] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.on_hang: Callable[[], None] = lambda: None

    @contextlib.contextmanager
    def watching(self, *, seconds: float) -> Iterator[Transfer]:
        """A transfer that must end within ``seconds``."""
        transfer = Transfer(deadline_at=time.monotonic() + seconds)
        with self._lock:
            self._transfers.add(transfer)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="download watchdog", daemon=True)
                self._thread.start()
        try:
            yield transfer
        finally:
            with self._lock:
                self._transfers.discard(transfer)
            transfer.close()

    def _run(self) -> None:
        while True:
            time.sleep(TICK_SECONDS)
            with self._lock:
                transfers = list(self._transfers)
            now = time.monotonic()
            for transfer in transfers:
                transfer.judge(now)
            if any(transfer.hangs(now) for transfer in transfers):
                self.on_hang()


watchdog = Watchdog()
