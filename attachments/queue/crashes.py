"""Files that kill workers. Such a file is retried a few times, then fetched alone in its own process, then FAILED.

The death of a worker does not say which of its files was the cause, so all of them become suspects (``crashes``). A
suspect is fetched alone (`attachments.alone`). If that process dies, the file is the cause (``lone_crashes``).
"""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection

from attachments import sql
from attachments.queue.claims import DownloadClaim
from evermuse import logs, named_rows, public_ids, retry_policy

log = logs.get(__name__)

# A file is FAILED after this many crashes, if this many of them happened while it was alone.
MAX_CRASHES, MAX_LONE_CRASHES = 3, 2
# The most suspects of one workspace at the same time, so that others get a turn.
WORKSPACE_LIMIT = 2


@dataclass(frozen=True, slots=True)
class Crash:
    """A file that was blamed: a row of `sql.CRASHED`. ``is_settled``: its batch has nothing left to do."""

    id: int
    batch_id: int
    is_hopeless: bool
    is_settled: bool


def take_suspect(name: str) -> DownloadClaim | None:
    """Claim one suspect that is due, or return None."""
    parameters = {"takers": [name], "limit": WORKSPACE_LIMIT, "lease": settings.EVERMUSE_LEASE_SECONDS}
    return next(iter(named_rows.fetch(DownloadClaim, sql.CLAIM_SUSPECT, parameters)), None)


def count_suspects_due(at_most: int) -> int:
    """The number of suspects that could start now, up to ``at_most``."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SUSPECTS_DUE, [at_most])
        return int(cursor.fetchone()[0])


def blame(claim: DownloadClaim, message: str) -> bool:
    """Blame a file whose download ended with an unexpected error. Returns whether its batch is settled."""
    return any(crash.is_settled for crash in _crashed(message, id=claim.id, token=claim.token))


def blame_claimed_by(name: str, message: str) -> list[Crash]:
    """Blame the file that the process of this name had claimed when it died."""
    return _crashed(message, claimed_by=name)


def _crashed(message: str, **which: Any) -> list[Crash]:
    parameters = {"id": None, "token": None, "claimed_by": None, **which}
    parameters |= {
        "message": message,
        "takes": MAX_CRASHES,
        "lone": MAX_LONE_CRASHES,
        "wait": retry_policy.DOWNLOAD_CRASH.backoff(1),
    }
    crashed = named_rows.fetch(Crash, sql.CRASHED, parameters)
    for crash in crashed:
        event = "attachment.given_up" if crash.is_hopeless else "attachment.crashed"
        log.error(
            event,
            attachment_id=public_ids.of_attachment(crash.id),
            batch_id=public_ids.of_batch(crash.batch_id),
            reason=message,
        )
    return crashed
