"""One round of the inbox: count failures, measure what is stuck, write alerts, and wake workers."""

from collections.abc import Callable

from django.db import connection

from evermuse import logs, outages, wake
from ingest.problems import alerts, collector, delivery, jobs, sql

log = logs.get(__name__)

SEND = "problems.send_alerts"


def sweep() -> None:
    """Run one round. Several may run at once: rows are locked with SKIP LOCKED, and each step is one transaction.

    If a step fails, the others still run: a backlog is reported even when nothing can be counted. Without the database no step
    can.
    """
    steps: list[Callable[[], object]] = [
        alerts.watch_backlogs,
        alerts.watch_old_payloads,
        alerts.watch_deployment,
        collector.collect,
        collector.measure,
        alerts.tell_new_problems,
        forget,
        wake_workers,
    ]
    for step in steps:
        try:
            step()
        except Exception as error:
            log.exception("problems.step_failed", step=step.__name__)
            if outages.is_away(error):
                return


def forget() -> None:
    """Delete old hours of the trend."""
    with connection.cursor() as cursor:
        cursor.execute(sql.FORGET_HOURS)


def wake_workers() -> None:
    """Publish wake-ups for jobs and alerts that wait."""
    if jobs.is_any_waiting():
        wake.publish(jobs.RUN, [])
    if delivery.is_any_due():
        wake.publish(SEND, [])
