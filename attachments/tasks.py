"""Celery tasks of the attachments queue and its sweeper."""

from typing import Any

from celery import shared_task
from celery.concurrency.thread import TaskPool as ThreadPool
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down

from attachments import fetching, store_start
from attachments.queue import sweeper
from attachments.suspects import suspects
from evermuse import heartbeat

# The time that stopped transfers get to give their files back.
STOP_SECONDS = 15.0


@shared_task(name="attachments.download")
def download(batch_ids: list[int] | None = None, **_: Any) -> None:
    """A wake-up: have a slot fetch files that are due. Returns at once, because each slot has its own thread."""
    fetching.slots.wake()


@shared_task(name="attachments.download_alone")
def download_alone(batch_ids: list[int] | None = None, **_: Any) -> None:
    """A wake-up: have a separate process fetch suspects, one at a time. Returns at once."""
    suspects.wake()


@shared_task(name="attachments.sweep")
def sweep(**_: Any) -> None:
    """Restart files that are stuck, and clean up after failed attempts."""
    sweeper.sweep()


@worker_ready.connect
def _watch_process(sender: Any, **_: Any) -> None:
    """Replace a process that hangs, because one hung download would hold all its threads. A prefork parent only forks;
    it is not watched.
    """
    if isinstance(sender.pool, ThreadPool):
        heartbeat.start()


@worker_ready.connect
def _check_store(**_: Any) -> None:
    """Workers of every queue need the object store."""
    store_start.check_later()


@worker_shutting_down.connect
def _stop_downloads(**_: Any) -> None:
    """Give the files of running downloads back to PENDING: a stop must not wait for two gigabytes."""
    fetching.stop()
    suspects.stop()


@worker_shutdown.connect
def _end_slots(**_: Any) -> None:
    fetching.slots.stop(STOP_SECONDS)
