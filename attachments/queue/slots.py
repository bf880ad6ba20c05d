"""The download slots of a worker process: threads that fetch files that are due, and extra places for slow transfers.

A file that arrives slowly would hold its slot for up to an hour. So a slow transfer leaves its slot: it continues in
its own thread, and another thread serves the slot. A workspace takes at most a quarter of the free extra places. When
they are used up, slow files hold slots again, but some of them give theirs to hosts of the workspace that wait
(`attachments.queue.yielding`). A workspace takes at most three quarters of the slots that others leave
(`attachments.sql.claims`).
"""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection

from attachments.fetch.watch import Transfer
from attachments.queue import claims, yielding
from attachments.queue.claims import DownloadClaim
from evermuse import logs

log = logs.get(__name__)


class Slots:
    """Threads that call ``work`` when they are woken. As many run as there are slots, plus slow transfers."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._state = threading.Condition()
        self._slow: dict[int, int] = {}  # claims that left their slots, with their workspaces
        self._held: dict[int, tuple[int, Transfer]] = {}  # the workspaces and transfers of claims in slots
        self._stuck: dict[int, Transfer] = {}  # slow transfers among them, the youngest last
        self._looks_for_newcomers = False
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
        with self._state:
            self._held[claim.id] = claim.workspace_id, transfer
        transfer.leave_slot = lambda: self._leave(claim)
        try:
            yield
        finally:
            transfer.leave_slot = None
            with self._state:
                self._held.pop(claim.id, None)
                self._stuck.pop(claim.id, None)
                self._slow.pop(claim.id, None)
                self._tell_claims()

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
                self._stick(claim.id)
                return False
            self._held.pop(claim.id, None)
            self._stuck.pop(claim.id, None)
            self._slow[claim.id] = claim.workspace_id
            self._tell_claims()
        self.wake()
        return True

    def _tell_claims(self) -> None:
        claims.slow, claims.stuck = set(self._slow), set(self._stuck)

    def _stick(self, claim_id: int) -> None:
        """Note that a slow transfer keeps its slot. The caller holds the lock."""
        if claim_id in self._held and claim_id not in self._stuck:
            self._stuck[claim_id] = self._held[claim_id][1]
            self._tell_claims()
            if not self._looks_for_newcomers:
                self._looks_for_newcomers = True
                threading.Thread(target=self._look_for_newcomers, name="yielding", daemon=True).start()

    def _look_for_newcomers(self) -> None:
        """Make room for other hosts, as long as there are slow transfers in slots."""
        try:
            while self._has_stuck():
                time.sleep(yielding.LOOK_SECONDS)
                try:
                    self.make_room()
                except DatabaseError as error:
                    log.warning("attachment.database_fault", error=str(error).strip()[:200])
                    connection.close()
        finally:
            connection.close()

    def _has_stuck(self) -> bool:
        with self._state:
            self._looks_for_newcomers = bool(self._stuck) and not self._is_stopping
            return self._looks_for_newcomers

    def make_room(self) -> None:
        """Stop the youngest slow transfers of a workspace whose other hosts wait and have no slot to come."""
        slots = settings.EVERMUSE_ATTACHMENT_CONCURRENCY
        if not (spare := self._spare()):
            return
        waiting = yielding.newcomers(spare, slots)
        with self._state:
            used = Counter(workspace for workspace, _ in self._held.values())
            for workspace, count in waiting.items():
                free = yielding.share(slots, used, workspace) - used[workspace]
                for _ in range(min(free, count)):
                    self.wake()
                for transfer in self._spare().get(workspace, [])[: max(0, count - max(0, free))]:
                    transfer.stop(yielding.YIELDED)

    def _spare(self) -> dict[int, list[Transfer]]:
        """By workspace, the slow transfers beyond those that keep their slots, the youngest first."""
        slots = settings.EVERMUSE_ATTACHMENT_CONCURRENCY
        with self._state:
            used = Counter(workspace for workspace, _ in self._held.values())
            slow: dict[int, list[Transfer]] = {}
            for claim_id, transfer in self._stuck.items():
                slow.setdefault(self._held[claim_id][0], []).append(transfer)
        return {
            workspace: spare
            for workspace, found in slow.items()
            if (spare := found[yielding.kept(yielding.share(slots, used, workspace)) :][::-1])
        }

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
