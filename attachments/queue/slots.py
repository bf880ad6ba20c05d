"""The download slots of a worker process: threads that fetch files that are due, and extra places for slow transfers.

A file that arrives slowly would hold its slot for up to an hour. So a slow transfer leaves its slot: it continues in
its own thread, and another thread serves the slot. A workspace takes at most a quarter of the free extra places. When
they are used up, slow files hold slots again, and a workspace takes at most three quarters of the slots that others
leave (`attachments.sql.claims`).
"""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection

from attachments.fetch.watch import Transfer
from attachments.queue import claims
from attachments.queue.claims import DownloadClaim
from evermuse import logs

log = logs.get(__name__)


class Slots:
    """Threads that call ``work`` when they are woken. As many run as there are slots, plus slow transfers."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._state = threading.Condition()
        self._slow: dict[int, int] = {}  # claims that left their slots, with their workspaces
        self._wakes = self._idle = self._threads = 0
        self._is_stopping = False

    def wake(self) -> None:
        """Have one more slot look for files, if one is free. Returns at once."""
        with self._state:
            self._wakes = min(self._wakes + 1, settings.EVERMUSE_ATTACHMENT_CONCURRENCY)
            if self._idle >= self._wakes:
                self._state.notify()
            elif not self._is_stopping and self._free() > 0:
                self._threads += 1
                threading.Thread(target=self._run, name="download", daemon=True).start()

    @contextlib.contextmanager
    def using(self, claim: DownloadClaim, transfer: Transfer) -> Iterator[None]:
        """Use this thread's slot for the transfer until the block ends or the transfer proves to be slow."""
        transfer.leave_slot = lambda: self._leave(claim)
        try:
            yield
        finally:
            transfer.leave_slot = None
            with self._state:
                self._slow.pop(claim.id, None)
                claims.slow = set(self._slow)

    def stop(self, seconds: float) -> None:
        """Start nothing more, and wait up to ``seconds`` for the threads. The caller stops their transfers."""
        ends_at = time.monotonic() + seconds
        with self._state:
            self._is_stopping = True
            self._state.notify_all()
            while self._threads and time.monotonic() < ends_at:
                self._state.wait(0.1)

    def _free(self) -> int:
        return settings.EVERMUSE_ATTACHMENT_CONCURRENCY + len(self._slow) - self._threads

    def _leave(self, claim: DownloadClaim) -> bool:
        """Give a slow transfer's slot to others, if an extra place is free for it."""
        with self._state:
            free = settings.EVERMUSE_ATTACHMENT_SLOW_TRANSFERS - len(self._slow)
            mine = Counter(self._slow.values())[claim.workspace_id]
            if free <= 0 or mine >= max(1, free // 4):
                return False
            self._slow[claim.id] = claim.workspace_id
            claims.slow = set(self._slow)
        self.wake()
        return True

    def _run(self) -> None:
        try:
            while self._is_woken():
                try:
                    close_old_connections()
                    connection.close_if_health_check_failed()
                    self._work()
                except DatabaseError as error:
                    log.warning("attachment.database_fault", error=str(error).strip()[:200])
                except Exception:
                    log.exception("attachment.failed_unexpectedly")
        finally:
            connection.close()
            with self._state:
                self._threads -= 1
                self._state.notify_all()

    def _is_woken(self) -> bool:
        """Wait for the next wake-up. False if there is one thread too many."""
        with self._state:
            while not self._is_stopping and self._free() >= 0:
                if self._wakes:
                    self._wakes -= 1
                    return True
                self._idle += 1
                self._state.wait()
                self._idle -= 1
            return False
