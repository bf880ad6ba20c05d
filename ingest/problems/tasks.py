"""Celery tasks of the problem inbox, on the maintenance queue. Each is idempotent and calls one service."""

from typing import Any

from celery import shared_task

from ingest.problems import delivery, jobs, sweeper


@shared_task(name="problems.sweep")
def sweep(**_: Any) -> None:
    """Count failures, measure what is stuck, and write alerts."""
    sweeper.sweep()


@shared_task(name="problems.run_jobs")
def run_jobs(_ids: list[int] | None = None, **_: Any) -> None:
    """A wake-up: run waiting jobs."""
    jobs.run_waiting()


@shared_task(name="problems.send_alerts")
def send_alerts(_ids: list[int] | None = None, **_: Any) -> None:
    """A wake-up: send due alerts."""
    delivery.send_due()
