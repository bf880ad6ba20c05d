"""Claims on files: how a worker takes one, and how it ends under its fence."""

import os
import random
import secrets
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection

from attachments import sql, workspace_names
from attachments.download_failures import DownloadFailure
from attachments.models import DownloadAttempt
from attachments.queue import completions, lanes
from attachments.queue.completions import Completion
from attachments.queue.together import Together
from evermuse import logs, named_rows, prepared, retry_policy
from evermuse.errors import LeaseLost

log = logs.get(__name__)

MAX_MESSAGE = 500
MAX_CRASHES = 10
# A pause that a host asks for holds all its files for this long at most. The refused file itself may wait longer.
MAX_HOST_HOLD_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class DownloadClaim:
    """A file that this worker may fetch. ``token`` is the fence. ``window_seconds``: the time since its first attempt."""

    id: int
    token: int
    batch_id: int
    workspace_id: int
    type: str
    filename: str
    vendor_url: str
    upload_intent_id: str
    declared_mime_type: str
    declared_size: int | None
    declared_sha1: str
    declared_md5: str
    attempts: int
    window_seconds: float
    host: str
    kept_token: int | None
    origin: bytes

    @property
    def workspace(self) -> str:
        """The workspace's name."""
        return workspace_names.name_of(self.workspace_id)


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that is complete in the object store. ``is_new``: False for the object of another attachment."""

    uri: str
    size: int
    mime_type: str
    sha256: str
    sha1: str
    md5: str
    is_new: bool = True


def take() -> DownloadClaim | None:
    """Claim one file that is due, or return None. Counts the attempt, and inserts its row.

    Threads that ask at the same time share one statement. Each gets its own file, and no file is claimed in advance.
    """
    return _together.ask(f"{worker()}{threading.get_native_id()}"[:128])


def worker() -> str:
    """How this process signs its claims. The nonce distinguishes processes with the same number."""
    return f"{socket.gethostname()[:64]}:{os.getpid()}-{_NONCE}:"


def take_for(takers: Sequence[str]) -> list[DownloadClaim | None]:
    """Claim a file for each taker, as long as there are files that may start.

    A claim skips the workspaces that another claim holds. If it has got too few files, it waits for each of them once, one at a
    time: the other claim may have left files there.
    """
    left, taken, seen = list(takers), [], set[int]()
    waits_for: int | None = None
    while True:
        parameters = _limits(left)
        wait = [] if waits_for is None else [(None, sql.WAIT, {"workspace": waits_for})]
        # Prepared, because planning these statements takes longer than running them.
        *_, [(locked,)], _, claimed = prepared.rows_of_several(
            *wait,
            (None, sql.CHOOSE, parameters),
            (None, sql.REFRESH, lanes.pace()),
            (DownloadClaim, sql.CLAIM, {**parameters, "newest_first": newest_first()}),
        )
        taken += claimed
        left = left[len(claimed) :]
        seen.update(locked if waits_for is None else [*locked, waits_for])
        missed = prepared.rows(sql.MISSED, {**_limits(left), "seen": list(seen)}) if left else []
        if not missed:
            return [*taken, *([None] * len(left))]
        waits_for = missed[0][0]


def _limits(takers: list[str]) -> dict[str, Any]:
    """The parameters of `sql.CHOOSE`, `sql.CLAIM` and `sql.MISSED`."""
    return {
        "takers": takers,
        "count": len(takers),
        "worker": worker(),
        "slots": settings.EVERMUSE_ATTACHMENT_CONCURRENCY,
        "slow": list(slow),
        "stuck": list(stuck),
        "lease": settings.EVERMUSE_LEASE_SECONDS,
        "host_limit": settings.EVERMUSE_ATTACHMENT_HOST_CONCURRENCY,
    }


# Ids of this process's downloads that have given up their slots (`attachments.queue.slots`).
slow: set[int] = set()
# Ids of those that are slow and hold slots.
stuck: set[int] = set()
_NONCE = secrets.token_hex(4)


def newest_first() -> bool:
    """Whether a claim takes new hosts in the reverse order (`sql.CLAIM`): by lot, because turns could fall in with idle claims."""
    return random.random() < 0.5  # noqa: S311


_together: Together[str, DownloadClaim | None] = Together(take_for)


def complete(claim: DownloadClaim, stored: Stored, *, received: int, http_status: int | None) -> tuple[str, bool]:
    """IN_PROGRESS → COMPLETE. Returns the URI of the stored content, and whether the batch has nothing left to do.

    The URI is another one if the workspace had the same content. ``received``: bytes over the wire. Raises LeaseLost.
    """
    settled = completions.complete(
        Completion(
            id=claim.id,
            token=claim.token,
            uri=stored.uri,
            size=stored.size,
            mime_type=stored.mime_type,
            sha256=stored.sha256,
            sha1=stored.sha1,
            md5=stored.md5,
            received=received,
            http_status=http_status,
            is_new=stored.is_new,
        )
    )
    if settled is None:
        raise LeaseLost(f"attachment {claim.id} under claim {claim.token}")
    return settled.uri, settled.is_last


def fail(
    claim: DownloadClaim,
    failure: DownloadFailure,
    *,
    received: int,
    wait: float | None,
    is_counted: bool = True,
    is_host_slow: bool = False,
    leftovers: bool = False,
    kept_token: int | None = None,
) -> bool:
    """IN_PROGRESS → PENDING after ``wait`` seconds, or → FAILED if ``wait`` is None. Returns whether the batch is
    settled.

    ``is_counted``: False if we cut the attempt short, not the vendor. ``is_host_slow``: the file gave its slot to another
    host's. ``kept_token``: the attempt whose parts are kept.
    A transient failure counts against the host for this workspace; any other response resets that count. Raises
    LeaseLost.
    """
    is_vendors = is_counted and bool(claim.host) and not claim.upload_intent_id
    parameters: dict[str, Any] = {
        "id": claim.id,
        "token": claim.token,
        "state": "FAILED" if wait is None else "PENDING",
        "wait": wait or 0.0,
        "code": failure.code,
        "message": failure.message.replace("\0", "\ufffd")[:MAX_MESSAGE],
        "http_status": failure.http_status,
        "bytes": received,
        "uncounted": 0 if is_counted else 1,
        "leftovers": leftovers or kept_token == claim.token,
        "kept_token": kept_token,
        "lease": settings.EVERMUSE_LEASE_SECONDS,
        "host": claim.host,
        "host_failed": is_vendors and failure.is_transient,
        "host_answered": is_vendors and not failure.is_transient and failure.http_status is not None,
        "host_slow": is_host_slow,
        "host_hold": min(failure.retry_after or 0.0, MAX_HOST_HOLD_SECONDS),
        "breaker": settings.EVERMUSE_ATTACHMENT_BREAKER_FAILURES,
    }
    failed = named_rows.fetch(_Failed, sql.FAIL, parameters)
    if not failed:
        raise LeaseLost(f"attachment {claim.id} under claim {claim.token}")
    return failed[0].is_settled


@dataclass(frozen=True, slots=True)
class _Failed:
    """A row of `sql.FAIL`."""

    is_settled: bool


def take_back() -> tuple[list[int], set[int]]:
    """Expired claims → PENDING, or FAILED after too many crashes. Returns their ids, and the batches that may be
    settled.
    """
    parameters: dict[str, Any] = {
        "lease": settings.EVERMUSE_LEASE_SECONDS,
        "max_crashes": MAX_CRASHES,
        "message": "the worker died or lost its connection during the download",
    }
    with connection.cursor() as cursor:
        longest_wait = retry_policy.furthest_download()
        cursor.execute(sql.PULL_FORWARD, [longest_wait])
        longest_hold = max(MAX_HOST_HOLD_SECONDS, lanes.BREAKER_HOLD_SECONDS)
        cursor.execute(sql.PULL_LANES_FORWARD, {"hold": longest_hold, "wait": longest_wait})
    lost = named_rows.fetch(_Lost, sql.TAKE_BACK, parameters)
    return [one.id for one in lost], {one.batch_id for one in lost if one.is_hopeless}


@dataclass(frozen=True, slots=True)
class _Lost:
    """A row of `sql.TAKE_BACK`."""

    id: int
    batch_id: int
    is_hopeless: bool


def mark_clean(attachment_id: int, token: int) -> None:
    """Record that nothing of this attempt is left in the object store but what rows point to."""
    DownloadAttempt.objects.filter(attachment_id=attachment_id, token=token).update(leftovers=False)


def retry_batch(batch_id: int) -> int:
    """FAILED → PENDING for a batch's files, with attempts counted from zero. Returns how many changed."""
    with connection.cursor() as cursor:
        cursor.execute(sql.RETRY, {"batch": batch_id})
        return len(cursor.fetchall())


def retry_files(ids: Sequence[int]) -> list[int]:
    """FAILED → PENDING for some files, with attempts counted from zero. Returns the ids of those that changed."""
    with connection.cursor() as cursor:
        cursor.execute(sql.RETRY_FILES, {"ids": list(ids)})
        return sorted(row[0] for row in cursor.fetchall())


def count_due(at_most: int) -> int:
    """The number of waiting files that could start now, up to ``at_most``."""
    with connection.cursor() as cursor:
        cursor.execute(sql.DUE, {"at_most": at_most})
        return int(cursor.fetchone()[0])


def drop_kept(claim: DownloadClaim) -> None:
    """Forget the parts that an earlier attempt kept, because the download starts again. The sweeper removes them."""
    with connection.cursor() as cursor:
        cursor.execute(sql.DROP_KEPT, {"id": claim.id, "token": claim.token})


def set_url(attachment_id: int, *, url: str, host: str, origin: bytes) -> bool:
    """Any state but COMPLETE → PENDING with a fresh URL and attempts counted from zero. Returns whether it changed."""
    parameters: dict[str, Any] = {
        "id": attachment_id,
        "url": url.replace("\0", "\ufffd"),
        "host": host,
        "origin": origin,
    }
    with connection.cursor() as cursor:
        cursor.execute(sql.REPLACE_URL, parameters)
        return bool(cursor.fetchone()[0])
