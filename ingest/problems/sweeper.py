"""One round of the inbox: count, measure, tell, and wake what has work."""

from collections.abc import Callable

from django.db import connection

from evermuse import logs, wake
from ingest.problems import alerts, collector, delivery, jobs, sql

log = logs.get(__name__)

SEND = "problems.send_alerts"


def sweep() -> None:
    """Two sweepers at once do no harm: rows are taken under locks that skip, and each step is one transaction.

    A step that fails does not keep the others from their work: a backlog is told even when nothing can be counted.
    """
    steps: list[Callable[[], object]] = [
        alerts.watch_backlogs,
        collector.collect,
        collector.measure,
        alerts.tell_new_problems,
        forget,
        wake_workers,
    ]
    for step in steps:
        try:
            step()
        except Exception:
            log.exception("problems.step_failed", step=step.__name__)


def forget() -> None:
    """Drop the trend of long ago."""
    with connection.cursor() as cursor:
        cursor.execute(sql.FORGET_HOURS)


def wake_workers() -> None:
    """Say that jobs or alerts wait, if any do."""
    if jobs.is_any_waiting():
        wake.publish(jobs.RUN, [])
    if delivery.is_any_due():
        wake.publish(SEND, [])
