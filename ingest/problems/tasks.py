"""Celery tasks of the problem inbox, all on the maintenance queue: thin, at least once, harmless when idle."""

from typing import Any

from celery import shared_task
from django.db import close_old_connections

from ingest.problems import delivery, jobs, sweeper


@shared_task(name="problems.sweep")
def sweep(**_: Any) -> None:
    """Count what failed, see what stands still, write alerts."""
    close_old_connections()
    sweeper.sweep()


@shared_task(name="problems.run_jobs")
def run_jobs(_ids: list[int] | None = None, **_: Any) -> None:
    """A wake-up: run jobs that wait."""
    close_old_connections()
    jobs.run_waiting()


@shared_task(name="problems.send_alerts")
def send_alerts(_ids: list[int] | None = None, **_: Any) -> None:
    """A wake-up: send alerts that are due."""
    close_old_connections()
    delivery.send_due()
