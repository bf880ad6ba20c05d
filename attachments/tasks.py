"""Celery tasks of the attachments queue and its sweeper."""

from typing import Any

from celery import shared_task
from celery.signals import worker_shutting_down

from attachments import fetching, sweeper


@shared_task(name="attachments.download")
def download(batch_ids: list[int] | None = None, **_: Any) -> None:
    """A wake-up: fetch files that are due."""
    fetching.fetch_waiting()


@shared_task(name="attachments.sweep")
def sweep(**_: Any) -> None:
    """Set going again what stands still, clear up what broke."""
    sweeper.sweep()


@worker_shutting_down.connect
def _stop_downloads(**_: Any) -> None:
    """A stop must not wait for two gigabytes: downloads under way go back to PENDING at once."""
    fetching.stop()
