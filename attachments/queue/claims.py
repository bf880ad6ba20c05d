"""Claims on attachments: taken, renewed by a thread of the process, settled under their fence."""

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection

from attachments import sql, workspaces
from attachments.failures import Failure
from attachments.fetch.watch import Transfer
from attachments.models import DownloadAttempt
from attachments.queue import completions, lanes
from attachments.queue.completions import Completion
from attachments.queue.together import Together
from evermuse import logs, prepared, retry_policy
from evermuse.errors import LeaseLost

log = logs.get(__name__)

LOST = Failure("LEASE_LOST", "another worker has taken over", is_transient=True)
MAX_MESSAGE = 500
MAX_CRASHES = 10
# A host that asks for a pause gets one, all of its files together; the file that was refused may have to wait longer.
MAX_HOST_HOLD_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class DownloadClaim:
    """A file that this worker may fetch. ``token`` is the fence; ``window_seconds``: since the first of its attempts."""

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
        return workspaces.name_of(self.workspace_id)


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that is whole in the object store."""

    uri: str
    size: int
    mime_type: str
    sha256: str
    sha1: str
    md5: str


def take() -> DownloadClaim | None:
    """Claim one file that is due, or None. Counts the attempt and opens its row in the ledger.

    Threads that ask at the same time are served by one statement; each gets its file at once, none is kept in hand.
    """
    return _together.ask(f"{worker()}{threading.get_native_id()}"[:128])


def worker() -> str:
    """How this process signs its claims. A process that comes back under the same number is another one."""
    return f"{socket.gethostname()[:64]}:{os.getpid()}-{_NONCE}:"


def take_for(takers: Sequence[str]) -> list[DownloadClaim | None]:
    """Claim a file for each taker, as far as there are files that may begin."""
    left, taken = list(takers), []
    while True:
        parameters: dict[str, Any] = {
            "takers": left,
            "count": len(left),
            "worker": worker(),
            "slots": settings.EVERMUSE_ATTACHMENT_CONCURRENCY,
            "slow": list(slow),
            "lease": settings.EVERMUSE_LEASE_SECONDS,
            "host_limit": settings.EVERMUSE_ATTACHMENT_HOST_CONCURRENCY,
        }
        # Prepared: to plan them takes longer than to run them.
        read, rows = prepared.rows_under(sql.CLAIM_LOCK, (sql.REFRESH, lanes.pace()), (sql.CLAIM, parameters))
        taken += [DownloadClaim(*row) for row in rows]
        left = left[len(rows) :]
        if not left or read[0][0] < sql.NOTICES_AT_ONCE:
            return [*taken, *([None] * len(left))]


# Downloads of this process that have given their slots to others (`attachments.queue.slots`), by id.
slow: set[int] = set()
_NONCE = secrets.token_hex(4)


_together: Together[str, DownloadClaim | None] = Together(take_for)


def complete(claim: DownloadClaim, stored: Stored, *, received: int, http_status: int | None) -> tuple[str, bool]:
    """IN_PROGRESS → COMPLETE. Gives the URI that counts (another's, where the workspace held the same content) and
    whether the batch is settled. Raises LeaseLost. ``received``: bytes over the wire."""
    settled = completions.settle(
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
        )
    )
    if settled is None:
        raise LeaseLost(f"attachment {claim.id} under claim {claim.token}")
    return settled.uri, settled.is_last


def fail(
    claim: DownloadClaim,
    failure: Failure,
    *,
    received: int,
    wait: float | None,
    is_counted: bool = True,
    leftovers: bool = False,
    kept_token: int | None = None,
) -> bool:
    """IN_PROGRESS → PENDING after ``wait`` seconds, or → FAILED (``wait`` None). Whether the batch is settled.

    An attempt that is not counted was cut short by us, not by the vendor. ``kept_token``: the attempt whose
    parts stay, to be resumed.
    A transient failure counts against the host, for this workspace; any other answer of it ends the row. Raises LeaseLost.
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
        "host_hold": min(failure.retry_after or 0.0, MAX_HOST_HOLD_SECONDS),
        "breaker": settings.EVERMUSE_ATTACHMENT_BREAKER_FAILURES,
    }
    with connection.cursor() as cursor:
        cursor.execute(sql.FAIL, parameters)
        row = cursor.fetchone()
    if row is None:
        raise LeaseLost(f"attachment {claim.id} under claim {claim.token}")
    return bool(row[1])


def take_back() -> tuple[list[int], set[int]]:
    """Claims that ran out → PENDING, or FAILED after too many crashes. Gives their ids, and batches that may be settled."""
    parameters: dict[str, Any] = {
        "lease": settings.EVERMUSE_LEASE_SECONDS,
        "max_crashes": MAX_CRASHES,
        "message": "the worker died or lost its connection during the download",
    }
    with connection.cursor() as cursor:
        longest_wait = retry_policy.furthest(retry_policy.downloads(), retry_policy.DOWNLOAD_STORE)
        cursor.execute(sql.PULL_FORWARD, [longest_wait])
        longest_hold = max(MAX_HOST_HOLD_SECONDS, lanes.BREAKER_HOLD_SECONDS)
        cursor.execute(sql.PULL_LANES_FORWARD, {"hold": longest_hold, "wait": longest_wait})
        cursor.execute(sql.TAKE_BACK, parameters)
        rows = cursor.fetchall()
    return [row[0] for row in rows], {row[1] for row in rows if row[2]}


def mark_clean(attachment_id: int, token: int) -> None:
    """Nothing of this attempt lies in the object store beside what rows point to."""
    DownloadAttempt.objects.filter(attachment_id=attachment_id, token=token).update(leftovers=False)


def retry_failed(batch_id: int) -> int:
    """FAILED → PENDING for a batch's files, attempts counted anew; their number."""
    with connection.cursor() as cursor:
        cursor.execute(sql.RETRY, {"batch": batch_id})
        return len(cursor.fetchall())


def retry_files(ids: Sequence[int]) -> list[int]:
    """FAILED → PENDING for some files, attempts counted anew; the ids of those that were FAILED."""
    with connection.cursor() as cursor:
        cursor.execute(sql.RETRY_FILES, {"ids": list(ids)})
        return sorted(row[0] for row in cursor.fetchall())


def due(at_most: int) -> int:
    """How many files wait and could begin now, counted up to ``at_most``."""
    with connection.cursor() as cursor:
        cursor.execute(sql.DUE, {"at_most": at_most})
        return int(cursor.fetchone()[0])


def drop_kept(claim: DownloadClaim) -> None:
    """The attempt begins again: what an earlier one kept is the sweeper's."""
    with connection.cursor() as cursor:
        cursor.execute(sql.DROP_KEPT, {"id": claim.id, "token": claim.token})


def replace_url(attachment_id: int, *, url: str, host: str, origin: bytes) -> bool:
    """Any state but COMPLETE → PENDING with a fresh URL, attempts counted anew; whether it changed."""
    parameters: dict[str, Any] = {
        "id": attachment_id,
        "url": url.replace("\0", "\ufffd"),
        "host": host,
        "origin": origin,
    }
    with connection.cursor() as cursor:
        cursor.execute(sql.REPLACE_URL, parameters)
        return bool(cursor.fetchone()[0])


class Leases:
    """Renews the claims of this process; a transfer whose claim was lost is stopped."""

    def __init__(self) -> None:
        self._held: dict[DownloadClaim, tuple[Transfer, float]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def holding(self, claim: DownloadClaim, transfer: Transfer) -> Iterator[None]:
        """Keep a claim while the block runs."""
        with self._lock:
            self._held[claim] = (transfer, time.monotonic())
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._held.pop(claim, None)

    def stop_all(self, failure: Failure) -> None:
        """Stop every transfer, because the worker is told to end."""
        with self._lock:
            transfers = [transfer for transfer, _ in self._held.values()]
        for transfer in transfers:
            transfer.stop(failure)

    def _run(self) -> None:
        while True:
            time.sleep(settings.EVERMUSE_LEASE_SECONDS / 3)
            with self._lock:
                held = dict(self._held)
            if held:
                self._renew(held)

    def _renew(self, held: dict[DownloadClaim, tuple[Transfer, float]]) -> None:
        asked_at = time.monotonic()
        try:
            with connection.cursor() as cursor:
                ids, tokens = [claim.id for claim in held], [claim.token for claim in held]
                cursor.execute(sql.RENEW, [ids, tokens, settings.EVERMUSE_LEASE_SECONDS])
                kept = {row[0] for row in cursor.fetchall()}
        except DatabaseError as error:
            log.warning("attachment.lease_not_renewed", error=str(error).strip()[:200], claims=len(held))
            # Past its lease a claim may be somebody else's: stop before the fence has to.
            kept = {c.id for c, (_, at) in held.items() if asked_at - at < settings.EVERMUSE_LEASE_SECONDS}
        else:
            with self._lock:
                for claim in held:
                    if claim in self._held:
                        self._held[claim] = (held[claim][0], asked_at)
        connection.close()
        for claim, (transfer, _) in held.items():
            if claim.id not in kept:
                transfer.stop(LOST)


leases = Leases()
