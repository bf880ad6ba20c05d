"""One round of the inbox: count, measure, tell, and wake what has work."""

from django.db import connection

from evermuse import wake
from ingest.problems import alerts, collector, delivery, jobs, sql

SEND = "problems.send_alerts"


def sweep() -> None:
    """Two sweepers at once do no harm: rows are taken under locks that skip, and each step is one transaction."""
    collector.collect()
    collector.measure()
    alerts.tell_new_problems()
    alerts.watch_backlogs()
    with connection.cursor() as cursor:
        cursor.execute(sql.FORGET_HOURS)
    if jobs.is_any_waiting():
        wake.publish(jobs.RUN, [])
    if delivery.is_any_due():
        wake.publish(SEND, [])
