"""Wake-ups: a message says that there is work. The work itself is in PostgreSQL.

A request never waits for the broker. One thread of the process publishes, and what is accepted meanwhile goes into the
next message. If a wake-up is lost, a sweeper finds the work.
"""

import queue
import threading
import time
from collections import Counter

from evermuse import broker_queues, logs, public_ids
from evermuse.celery import CONFIRM_SECONDS, app

log = logs.get(__name__)

LAND, ADVANCE, DOWNLOAD = "ingest.land_batches", "ingest.advance_batches", "attachments.download"
DOWNLOAD_ALONE = "attachments.download_alone"
# The most batches that a message names. The claim finds the others.
MAX_IDS = 500
# The most ids in a log line.
MAX_LOGGED = 50
# No further wake-up is published while this many messages wait. Each of them finds all work, and thousands of them would
# take a busy worker minutes.
MAX_WAITING = 200
# A process counts the messages that wait after so many of its own, because counting takes longer than sending one.
COUNTED_EVERY = 20
# The pause between two messages, so that many small batches need few wake-ups.
SPACING_SECONDS = 0.05
PAUSE_SECONDS = 1.0
# A sweeper has found the work of a wake-up that is older than this.
EXPIRES_SECONDS = 60.0


class Publisher:
    """The thread that publishes a process's wake-ups. It starts at first use, and so after any fork."""

    def __init__(self, task: str) -> None:
        self._task = task
        self._waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        # Messages sent since those in the queue were counted.
        self._uncounted = 0

    def add(self, batch_id: int) -> None:
        """Publish a wake-up for a committed batch soon. Never blocks and never raises."""
        self._waiting.put(batch_id)
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._run, name="wake-ups", daemon=True)
                    try:
                        self._thread.start()
                    except RuntimeError as error:
                        # No thread could be started: the next batch tries again, or a sweeper finds the work.
                        log.warning("wakeup.lost", task=self._task, batches=1, error=str(error))

    def _run(self) -> None:
        while True:
            batch_ids = [self._waiting.get()]
            self._await_room()
            while not self._waiting.empty():
                batch_ids.append(self._waiting.get())
            # It does not expire: a worker that is a minute behind would discard it, and fall behind further.
            is_sent = publish(self._task, batch_ids[:MAX_IDS], expires=None)
            time.sleep(SPACING_SECONDS if is_sent else PAUSE_SECONDS)

    def _await_room(self) -> None:
        """Wait until few messages are in the queue."""
        self._uncounted += 1
        while self._uncounted >= COUNTED_EVERY:
            if _count(self._task) < MAX_WAITING:
                self._uncounted = 0
            else:
                time.sleep(PAUSE_SECONDS)


def publish(task: str, batch_ids: list[int], *, expires: float | None = EXPIRES_SECONDS) -> bool:
    """Send a wake-up. False, with a log line, if the broker does not take it in time."""
    try:
        app.send_task(
            task,
            args=[batch_ids],
            ignore_result=True,
            retry=False,
            expires=expires,
            confirm_timeout=CONFIRM_SECONDS,
        )
    except Exception as error:
        # kombu's transports raise errors of many libraries, and none of them may stop the caller.
        _log_lost(task, batch_ids, error)
        return False
    return True


def _waiting(task: str) -> int:
    """How many messages wait in the task's queue. Raises errors of many libraries, those of kombu's transports."""
    with app.connection_for_write() as connection:
        return broker_queues.length(connection, str(app.conf.task_routes[task]["queue"]))


def _count(task: str) -> int:
    """Like `_waiting`, but 0 if the broker does not answer."""
    try:
        return _waiting(task)
    except Exception as error:
        log.info("wakeup.not_counted", task=task, error=f"{type(error).__name__}: {error}")
        return 0


def _log_lost(task: str, batch_ids: list[int], error: Exception) -> None:
    log.warning(
        "wakeup.lost",
        task=task,
        batches=len(batch_ids),
        batch_ids=[public_ids.of_batch(number) for number in batch_ids[:MAX_LOGGED]],
        error=f"{type(error).__name__}: {error}",
    )


_publisher = Publisher(LAND)
# Calls of `workers` for each task since the messages in its queue were counted.
_uncounted: Counter[str] = Counter()


def landing(batch_id: int) -> None:
    """Publish that a committed batch waits to be landed."""
    _publisher.add(batch_id)


def workers(task: str, times: int) -> None:
    """Send a wake-up for each worker that could find work, less those that wait. None expires, as in `Publisher`.

    Queues of tasks that a deployment adds are unknown here, so their messages expire and are not counted.
    """
    is_known = task in app.conf.task_routes
    for _ in range(_missing(task, times) if is_known else times):
        if not publish(task, [], expires=None if is_known else EXPIRES_SECONDS):
            return


def advance(batch_ids: list[int]) -> None:
    """Publish that batches may be complete. None expires, as in `Publisher`. If many wait, the sweeper finds these."""
    if _missing(ADVANCE, 1):
        publish(ADVANCE, batch_ids, expires=None)


def _missing(task: str, times: int) -> int:
    """How many messages to send, so that ``times`` wait: at least one, unless `MAX_WAITING` wait.

    The messages that wait may be another task's.
    """
    _uncounted[task] += 1
    # Counting takes longer than sending one.
    if times <= 1 and _uncounted[task] < COUNTED_EVERY:
        return times
    waiting = _count(task)
    if waiting >= MAX_WAITING:
        return max(times - waiting, 0)
    _uncounted[task] = 0
    return max(times - waiting, 1)


def top_up(task: str, batch_ids: list[int]) -> None:
    """Send a sweeper's wake-ups: one, and one for each further batch as long as fewer messages wait in the task's queue.

    They do not expire. Otherwise a worker that is a minute behind would discard each of them, find nothing to do, and stay
    behind, because every round of the sweeper adds messages.
    """
    try:
        missing = len(batch_ids) - _waiting(task)
    except Exception as error:
        _log_lost(task, batch_ids, error)
        return
    # At least one, because the messages that wait may be another task's.
    for batch_id in batch_ids[: max(missing, 1)]:
        if not publish(task, [batch_id], expires=None):
            return


def downloads(due: int, *, at_most: int) -> None:
    """Wake as many download threads as could find one of these files."""
    workers(DOWNLOAD, min(due, at_most))
