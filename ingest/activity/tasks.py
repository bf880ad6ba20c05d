"""Celery task of the maintenance queue."""

from typing import Any

from celery import shared_task

from ingest.activity import rollup


@shared_task(name="activity.roll_up")
def roll_up(**_: Any) -> None:
    """Count what has happened since the last round."""
    rollup.roll_up()
