"""Wake-ups: a message says "there is work"; the work itself waits in PostgreSQL.

A request never waits for the broker: one thread of the process publishes, and what is accepted meanwhile goes into the
next message. A wake-up that is lost is made good by the sweepers.
"""

import queue
import threading
import time

from evermuse import logs
from evermuse.celery import app

log = logs.get(__name__)

LAND, ADVANCE, DOWNLOAD = "ingest.land_batches", "ingest.advance_batches", "attachments.download"
DOWNLOAD_ALONE = "attachments.download_alone"
# A message names at most this many batches; the rest is found by the claim anyway.
MAX_IDS = 500
# Between two messages, so that a flood of small batches becomes few wake-ups.
SPACING_SECONDS = 0.05
PAUSE_SECONDS = 1.0
# A wake-up older than this has been made good by a sweeper.
EXPIRES_SECONDS = 60.0


class Publisher:
    """The thread that publishes wake-ups of one process, started at first use (so after any fork)."""

    def __init__(self, task: str) -> None:
        self._task = task
        self._waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, batch_id: int) -> None:
        """Have a wake-up for a committed batch published soon. Never blocks, never raises."""
        self._waiting.put(batch_id)
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._run, name="wake-ups", daemon=True)
                    try:
                        self._thread.start()
                    except RuntimeError as error:  # no thread can be started: the next batch tries, or a sweeper
                        log.warning("wakeup.lost", task=self._task, batches=1, error=str(error))

    def _run(self) -> None:
        while True:
            batch_ids = [self._waiting.get()]
            while len(batch_ids) < MAX_IDS and not self._waiting.empty():
                batch_ids.append(self._waiting.get())
            time.sleep(SPACING_SECONDS if publish(self._task, batch_ids) else PAUSE_SECONDS)


def publish(task: str, batch_ids: list[int]) -> bool:
    """Send a wake-up; False (and a line in the log) when the broker does not take it in time."""
    try:
        app.send_task(task, args=[batch_ids], ignore_result=True, retry=False, expires=EXPIRES_SECONDS)
    except Exception as error:  # kombu's transports raise errors of many libraries; none may stop the caller
        log.warning("wakeup.lost", task=task, batches=len(batch_ids), error=f"{type(error).__name__}: {error}")
        return False
    return True


_publisher = Publisher(LAND)


def landing(batch_id: int) -> None:
    """Say that a committed batch waits to be landed."""
    _publisher.add(batch_id)


def workers(task: str, times: int) -> None:
    """Send a task's wake-up so many times: one for each worker that could find work."""
    for _ in range(times):
        if not publish(task, []):
            return


def downloads(due: int, *, at_most: int) -> None:
    """Say that files wait to be fetched, to as many workers' threads as could find one."""
    workers(DOWNLOAD, min(due, at_most))
