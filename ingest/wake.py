"""Wake-ups: a message says "there is work"; the work itself waits in PostgreSQL.

A request never waits for the broker: one thread of the process publishes, and what is accepted meanwhile goes into the
next message. A wake-up that is lost is made good by the sweeper.
"""

import queue
import threading
import time

from evermuse import logs
from evermuse.celery import LANDING, app

log = logs.get(__name__)

# A message names at most this many batches; the rest is found by the claim anyway.
MAX_IDS = 500
# Between two messages, so that a flood of small batches becomes few wake-ups.
SPACING_SECONDS = 0.005
PAUSE_SECONDS = 1.0


class Publisher:
    """The thread that publishes wake-ups of one process, started at first use (so after any fork)."""

    def __init__(self) -> None:
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
                    self._thread.start()

    def _run(self) -> None:
        while True:
            batch_ids = [self._waiting.get()]
            while len(batch_ids) < MAX_IDS and not self._waiting.empty():
                batch_ids.append(self._waiting.get())
            time.sleep(SPACING_SECONDS if publish("ingest.land_batches", batch_ids) else PAUSE_SECONDS)


def publish(task: str, batch_ids: list[int], *, queue_name: str = LANDING) -> bool:
    """Send a wake-up; False (and a line in the log) when the broker does not take it in time."""
    try:
        app.send_task(task, args=[batch_ids], queue=queue_name, ignore_result=True, retry=False)
    except Exception as error:  # kombu's transports raise errors of many libraries; none may stop the caller
        log.warning("wakeup.lost", task=task, batches=len(batch_ids), error=f"{type(error).__name__}: {error}")
        return False
    return True


_publisher = Publisher()


def landing(batch_id: int) -> None:
    """Say that a batch waits to be landed."""
    _publisher.add(batch_id)
