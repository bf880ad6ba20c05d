"""The watchdog of downloads enforces a deadline and a minimum rate, also while headers arrive.

A socket's time-out bounds a single read, so a server that sends a byte a second would hold a thread for ever. One
thread of the process looks at every transfer. When a transfer's time is over or it is cancelled, that thread shuts the
socket down, and the blocked read returns at once.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from attachments.download_failures import DownloadFailure

TICK_SECONDS = 0.5
# The rate is not checked for this long, which leaves time for names, handshakes, redirects and a slow first byte.
GRACE_SECONDS = 30.0
MIN_BYTES_PER_SECOND = 1024
# The rate is measured over a window, so that a fast start does not excuse a stall.
WINDOW_SECONDS = 30.0
# A stopped transfer returns at once, or when the object store does. If it still runs after this, our own code hangs.
HANG_SECONDS = 120.0
# A transfer gives up its slot after this long without a byte of a file, or after this long at less than this rate.
SILENT_AFTER_SECONDS = 2.0
SLOW_AFTER_SECONDS = 5.0
SLOW_BYTES_PER_SECOND = 256 * 1024


@dataclass(eq=False, slots=True)
class Transfer:
    """A watched download. ``bytes_read`` grows while it runs. ``stopped``: why it was shut down, or None.

    ``is_kept``: its connection served an earlier download, so the server may just have closed it. ``leave_slot`` is
    called while the transfer is slow, until it returns True.
    """

    deadline_at: float
    started_at: float = field(default_factory=time.monotonic)
    bytes_read: int = 0
    stopped: DownloadFailure | None = None
    stopped_at: float = 0.0
    is_kept: bool = False
    leave_slot: Callable[[], bool] | None = None
    has_left: bool = False
    _socket: socket.socket | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _window_at: float = field(default_factory=lambda: time.monotonic() + GRACE_SECONDS - WINDOW_SECONDS)
    _window_bytes: int = 0

    def attach(self, connection: socket.socket, *, is_kept: bool = False) -> None:
        """Watch this socket from now on, by a duplicate that survives a change to TLS."""
        with self._lock:
            self._drop()
            self.is_kept = is_kept
            # A TLS socket refuses `dup`.
            self._socket = socket.fromfd(connection.fileno(), connection.family, connection.type)
            if self.stopped:
                self._shut()

    def stop(self, failure: DownloadFailure) -> None:
        """Stop the transfer: blocked calls on its socket return."""
        with self._lock:
            if self.stopped is None:
                self.stopped, self.stopped_at = failure, time.monotonic()
            self._shut()

    def close(self) -> None:
        """Close the duplicate."""
        with self._lock:
            self._drop()

    def judge(self, now: float) -> None:
        """Check the limits. The watchdog calls this at each tick."""
        if now >= self.deadline_at:
            seconds = round(self.deadline_at - self.started_at)
            self.stop(
                DownloadFailure("DEADLINE", f"the download took longer than {seconds} seconds", is_transient=True)
            )
        elif now - self._window_at >= WINDOW_SECONDS:
            if self.bytes_read - self._window_bytes < MIN_BYTES_PER_SECOND * WINDOW_SECONDS:
                message = f"less than {MIN_BYTES_PER_SECOND} bytes a second over {WINDOW_SECONDS:.0f} seconds"
                self.stop(DownloadFailure("TOO_SLOW", message, is_transient=True))
            self._window_at, self._window_bytes = now, self.bytes_read
        if (leave := self.leave_slot) and not self.has_left:
            self.has_left = self._is_slow(now - self.started_at) and leave()

    def _is_slow(self, took: float) -> bool:
        if not self.bytes_read:
            return took >= SILENT_AFTER_SECONDS
        return took >= SLOW_AFTER_SECONDS and self.bytes_read < SLOW_BYTES_PER_SECOND * took

    def hangs(self, now: float) -> bool:
        """Whether it still runs long after it was stopped."""
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
    """The thread that watches every transfer of the process. It starts at first use, and so after any fork."""

    def __init__(self) -> None:
        self._transfers: set[Transfer] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.on_hang: Callable[[], None] = lambda: None

    @contextlib.contextmanager
    def watching(self, *, seconds: float) -> Iterator[Transfer]:
        """Watch a transfer that must end within ``seconds``."""
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
