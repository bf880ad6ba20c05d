"""Celery tasks of the attachments queue and its sweeper."""

from typing import Any

from celery import shared_task
from celery.concurrency.thread import TaskPool as ThreadPool
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down

from attachments import fetching
from attachments.queue import sweeper
from attachments.suspects import suspects
from evermuse import heartbeat

# For transfers that were stopped to give their files back.
STOP_SECONDS = 15.0


@shared_task(name="attachments.download")
def download(batch_ids: list[int] | None = None, **_: Any) -> None:
    """A wake-up: have a slot fetch files that are due. The slots have threads of their own, so this returns at once."""
    fetching.slots.wake()


@shared_task(name="attachments.download_alone")
def download_alone(batch_ids: list[int] | None = None, **_: Any) -> None:
    """A wake-up: have a process of its own fetch files that a worker died of, one by one. Returns at once."""
    suspects.wake()


@shared_task(name="attachments.sweep")
def sweep(**_: Any) -> None:
    """Set going again what stands still, clear up what broke."""
    sweeper.sweep()


@worker_ready.connect
def _watch_process(sender: Any, **_: Any) -> None:
    """One hung download must not hold the others' threads. A prefork parent is not watched: it forks."""
    if isinstance(sender.pool, ThreadPool):
        heartbeat.start()


@worker_shutting_down.connect
def _stop_downloads(**_: Any) -> None:
    """A stop must not wait for two gigabytes: downloads under way go back to PENDING at once."""
    fetching.stop()
    suspects.stop()


@worker_shutdown.connect
def _end_slots(**_: Any) -> None:
    fetching.slots.stop(STOP_SECONDS)
