"""Celery tasks of the problem inbox, all on the maintenance queue: thin, at least once, harmless when idle."""

from typing import Any

from celery import shared_task

from ingest.problems import delivery, jobs, sweeper


@shared_task(name="problems.sweep")
def sweep(**_: Any) -> None:
    """Count what failed, see what stands still, write alerts."""
    sweeper.sweep()


@shared_task(name="problems.run_jobs")
def run_jobs(_ids: list[int] | None = None, **_: Any) -> None:
    """A wake-up: run jobs that wait."""
    jobs.run_waiting()


@shared_task(name="problems.send_alerts")
def send_alerts(_ids: list[int] | None = None, **_: Any) -> None:
    """A wake-up: send alerts that are due."""
    delivery.send_due()
