"""The warnings at the top of the overview, each with its runbook."""

from typing import NamedTuple

from evermuse import runbooks
from ingest import failure_codes
from ingest.activity import selectors
from ingest.activity.health import NOT_MIGRATED, OK, UNSUPPORTED
from ingest.activity.selectors import Standing
from ingest.activity.surroundings import Surroundings
from lake.restore import marks

LONG_WAIT_SECONDS, LATE_FIGURES_SECONDS = 300, 180
SERVERS = {"database": "PostgreSQL", "broker": "Broker", "redis": "Redis (rates)", "objectStore": "Object store"}
_RUNBOOKS = {
    "database": runbooks.DATABASE_AWAY,
    "broker": runbooks.BROKER_AWAY,
    "redis": runbooks.REDIS_AWAY,
    "objectStore": runbooks.STORE_AWAY,
}
STATES = {
    OK: "answers",
    UNSUPPORTED: "has a version that is not supported",
    NOT_MIGRATED: "lacks migrations: run manage.py migrate",
}


class Notice(NamedTuple):
    """A warning for operators, and the address of the runbook with the fix."""

    text: str
    runbook: str


def of(standing: Standing, around: Surroundings | None, lag: float | None, behind: float) -> list[Notice]:
    """Warnings without figures that change each second: screen readers announce every change."""
    found = _of_faults(selectors.waiting_faults(), around)
    if marks.is_check_needed():
        text = (
            "The database was restored from an earlier time: run manage.py restorecheck. "
            "Until then nothing in the bucket is deleted or merged."
        )
        found.append(Notice(text, runbooks.DATABASE_RESTORED))
    if around:
        found += [
            Notice(f"{SERVERS[name]} {STATES.get(state, 'does not answer')}.", _RUNBOOKS[name])
            for name, state in around.servers.items()
            if state != OK
        ]
        found += [
            Notice(f"No {kind} worker is seen.", runbooks.WORKER_MISSING)
            for kind, n in sorted((around.workers or {}).items())
            if not n
        ]
    if (standing.oldest_batch_seconds or 0) > LONG_WAIT_SECONDS:
        found.append(Notice("Batches have waited for more than five minutes.", runbooks.BATCHES_WAIT))
    if (standing.oldest_file_seconds or 0) > LONG_WAIT_SECONDS:
        found.append(Notice("Attachments have been due for more than five minutes.", runbooks.FILES_WAIT))
    if behind > LONG_WAIT_SECONDS:
        text = "The journal in the object store is more than five minutes behind."
        found.append(Notice(text, runbooks.JOURNAL_BEHIND))
    if lag is None or lag > LATE_FIGURES_SECONDS:
        text = "Figures are out of date: the rollup should run every ten seconds in a worker."
        found.append(Notice(text, runbooks.FIGURES_OLD))
    return found


def _of_faults(codes: set[str], around: Surroundings | None) -> list[Notice]:
    """Faults that stop landing while all servers answer."""
    found = []
    if failure_codes.DEPLOYMENT_FAULT in codes:
        text = (
            "Batches wait because the code does not fit the database or the server. "
            "The page of a waiting batch shows the error. They land when it is fixed."
        )
        found.append(Notice(text, runbooks.BATCHES_WAIT))
    if failure_codes.STORE_UNAVAILABLE in codes and around and around.servers["objectStore"] == OK:
        text = (
            "Batches wait because the object store did not take their records, although it answers now. "
            "If this notice stays, its disk is full, or its policy forbids writing."
        )
        found.append(Notice(text, runbooks.STORE_AWAY))
    return found
