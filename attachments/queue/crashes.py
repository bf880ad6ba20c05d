"""Files that harm a worker: each is taken a few times, then alone in a process of its own, then FAILED with a reason.

A worker that dies says nothing about which of its files was to blame, so all of them are suspects (``crashes``). A suspect
is fetched alone (`attachments.alone`); what then happens to its process is the file's own doing (``lone_crashes``).
"""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection

from attachments import sql
from attachments.queue.claims import DownloadClaim
from evermuse import logs, public_ids

log = logs.get(__name__)

# A file is FAILED after so many crashes, of which so many happened while it was alone.
MAX_CRASHES, MAX_LONE_CRASHES = 3, 2
# Suspects that one workspace has under way at once, so that its own leave room for another's.
WORKSPACE_LIMIT = 2
WAIT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Crash:
    """A file that was blamed. ``is_settled``: nothing of its batch is left to do."""

    batch_id: int
    is_settled: bool


def take_suspect(name: str) -> DownloadClaim | None:
    """Claim one suspect that is due, or None."""
    with connection.cursor() as cursor:
        cursor.execute(
            sql.CLAIM_SUSPECT, {"takers": [name], "limit": WORKSPACE_LIMIT, "lease": settings.EVERMUSE_LEASE_SECONDS}
        )
        row = cursor.fetchone()
    return None if row is None else DownloadClaim(*row)


def due(at_most: int) -> int:
    """How many suspects could begin now, counted up to ``at_most``."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SUSPECTS_DUE, [at_most])
        return int(cursor.fetchone()[0])


def blame(claim: DownloadClaim, message: str) -> bool:
    """A download ended in a way that no code expects; whether its batch is settled."""
    return any(crash.is_settled for crash in _crashed(message, id=claim.id, token=claim.token))


def blame_claimed_by(name: str, message: str) -> list[Crash]:
    """The process of this name died: its file is to blame."""
    return _crashed(message, claimed_by=name)


def _crashed(message: str, **which: Any) -> list[Crash]:
    parameters = {"id": None, "token": None, "claimed_by": None, **which}
    parameters |= {"message": message, "takes": MAX_CRASHES, "lone": MAX_LONE_CRASHES, "wait": WAIT_SECONDS}
    with connection.cursor() as cursor:
        cursor.execute(sql.CRASHED, parameters)
        rows = cursor.fetchall()
    for attachment_id, _, is_hopeless, _ in rows:
        event = "attachment.given_up" if is_hopeless else "attachment.crashed"
        log.error(event, attachment_id=public_ids.of_attachment(attachment_id), reason=message)
    return [Crash(row[1], row[3]) for row in rows]
