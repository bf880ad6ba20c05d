"""Celery tasks of the landing and maintenance queues: thin, at least once, and harmless when there is nothing to do."""

from typing import Any

from celery import shared_task
from django.db import close_old_connections

from ingest import pipeline, sweeper


@shared_task(name="ingest.land_batches")
def land_batches(batch_ids: list[int] | None = None, **_: Any) -> None:
    """A wake-up: land what waits, the named batches and any others."""
    close_old_connections()
    pipeline.land_waiting()


@shared_task(name="ingest.advance_batches")
def advance_batches(batch_ids: list[int], **_: Any) -> None:
    """A processor has settled something in these batches: complete those that are done."""
    close_old_connections()
    pipeline.advance(batch_ids)


@shared_task(name="ingest.sweep")
def sweep(**_: Any) -> None:
    """Set going again what stands still."""
    close_old_connections()
    sweeper.sweep()
