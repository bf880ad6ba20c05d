"""Celery tasks of the landing and maintenance queues: thin, at least once, and harmless when there is nothing to do."""

from typing import Any

from celery import shared_task

from ingest import retention
from ingest.pipeline import landing as pipeline
from ingest.pipeline import sweeper


@shared_task(name="ingest.land_batches")
def land_batches(batch_ids: list[int] | None = None, **_: Any) -> None:
    """A wake-up: land what waits, the named batches and any others."""
    pipeline.land_waiting()


@shared_task(name="ingest.advance_batches")
def advance_batches(batch_ids: list[int], **_: Any) -> None:
    """A processor has settled something in these batches: complete those that are done."""
    pipeline.advance(batch_ids)


@shared_task(name="ingest.sweep")
def sweep(**_: Any) -> None:
    """Set going again what stands still."""
    sweeper.sweep()


@shared_task(name="ingest.remove_expired")
def remove_expired(**_: Any) -> None:
    """Remove what has been kept for as long as the settings say."""
    retention.remove_expired()
