"""Batches: claimed, released, moved on. Every change of state is a conditional UPDATE in `ingest.sql`."""

import json
import os
import secrets
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import F, Max

from evermuse import logs, prepared, public_ids, retry_policy
from evermuse.retry_policy import RetryPolicy
from ingest import sql
from ingest.models import Batch, Workspace
from lake import frames, horizon
from lake.landing import Verdict

log = logs.get(__name__)

# A claim takes several small batches at once, or two large ones: what a claim costs does not grow with its records. All of
# it is in memory until it is committed, three to four times its bytes.
CLAIM_BATCHES, CLAIM_RECORDS, CLAIM_BYTES = 64, 2000, 8 * 1024 * 1024
# Crashes while claimed alone before a batch is given up. Each may cost a hang and a lease.
MAX_LONE_CRASHES = 3
# An open landing that is older is looked at: does any of its batches still land?
FORGOTTEN_SECONDS = 60.0

Status = Batch.Status


@dataclass(frozen=True, slots=True)
class Claim:
    """A batch that this worker may land until its lease ends; ``token`` is the fence in every final UPDATE.

    ``at``: the instant of the landing, which all batches that were claimed together share (`lake.horizon`).
    ``attempts``: claims of the batch, this one included.
    """

    batch_id: int
    token: int
    workspace_id: int
    at: datetime
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Incoming:
    """A claimed batch and what was sent, compressed in `frames`. ``workspace``: its name; ``size``: of the body, in bytes."""

    id: int
    workspace_id: int
    workspace: str
    source: str
    accepted_at: datetime
    media_type: str
    size: int
    frames: list[int]
    content: bytes

    def body(self) -> bytes:
        """What was sent, decompressed anew at each call."""
        return frames.unpack(self.content, self.frames, self.size)

    @property
    def public_id(self) -> str:
        """The ``batchId`` of the API."""
        return public_ids.of_batch(self.id)


@dataclass(frozen=True, slots=True)
class LandedCounts:
    """The worker's verdict on a batch, written with its new state."""

    claim: Claim
    status: str
    verdict: Verdict
    failure: str = ""


def incoming(claims: Sequence[Claim]) -> dict[int, Incoming]:
    """Claimed batches by id."""
    rows = prepared.rows(sql.INCOMING, [[c.batch_id for c in claims]], binary=True)
    return {row[0]: Incoming(*row) for row in rows}


def waiting(limit: int) -> list[int]:
    """Some batches that a claim would find now."""
    with connection.cursor() as cursor:
        cursor.execute(sql.WAITING_ANYWHERE, {**_plausible(), "limit": limit})
        return [row[0] for row in cursor.fetchall()]


def _plausible() -> dict[str, float]:
    return {"lease": settings.EVERMUSE_LEASE_SECONDS, "longest_delay": retry_policy.furthest(*retry_policy.LANDING)}


class _Turn:
    """After which workspace this process claims next. It begins anywhere: a process that always began at the same one, and
    died of its batches, would never come to the others."""

    def __init__(self) -> None:
        self._last: int | None = None

    @property
    def last(self) -> int:
        if self._last is None:
            self._last = secrets.randbelow((Workspace.objects.aggregate(last=Max("id"))["last"] or 0) + 1)
        return self._last

    @last.setter
    def last(self, workspace_id: int) -> None:
        self._last = workspace_id


_turn = _Turn()


def claim() -> list[Claim]:
    """Take waiting batches of the workspace whose turn it is: several small ones or two large.

    One that crashed a worker is taken alone. Nothing is claimed only when all that waits is being claimed by others.
    """
    passed: set[int] = set()
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql.WAITING, {**_plausible(), "limit": CLAIM_BATCHES, "after": _turn.last})
            if found := cursor.fetchall():
                _turn.last = found[0][-1]
                if claims := _claim(cursor, found):
                    return claims
                continue  # all that waited there was given up
            cursor.execute(sql.NEXT_WORKSPACE, {**_plausible(), "after": _turn.last})
            busy = cursor.fetchone()
        if busy is None or busy[0] in passed:
            return []
        passed.add(busy[0])
        _turn.last = busy[0]


def _claim(cursor: CursorWrapper, found: Sequence[tuple[Any, ...]]) -> list[Claim]:
    """Claim as many of a workspace's waiting batches, locked ones, as may be landed together; give up hopeless ones."""
    workspace_id: int = found[0][-1]
    chosen: list[int] = []
    hopeless: list[int] = []
    alone = False
    room, room_bytes = CLAIM_RECORDS, CLAIM_BYTES
    for batch_id, records, size, crashed, was_alone, crashes, lone_crashes, _ in found:
        suspect = crashed or crashes > 0
        if lone_crashes + (crashed and was_alone) >= MAX_LONE_CRASHES:
            hopeless.append(batch_id)
        elif suspect and not chosen:
            chosen, alone = [batch_id], True
            break
        elif suspect or (chosen and (records > room or size > room_bytes)):
            break
        else:
            chosen.append(batch_id)
            room -= records
            room_bytes -= size
    if hopeless:
        cursor.execute(
            sql.GIVE_UP, [f"given up: {MAX_LONE_CRASHES} workers died or hung while landing it alone", hopeless]
        )
        horizon.abandon(workspace_id, hopeless)
        log.error("batch.given_up", batch_ids=[public_ids.of_batch(i) for i in hopeless])
    if not chosen:
        return []
    who = f"{socket.gethostname()}:{os.getpid()}:{threading.get_native_id()}"
    cursor.execute(sql.CLAIM, {**_plausible(), "who": who, "alone": alone, "ids": chosen})
    tokens = sorted(cursor.fetchall())
    # Last: its lock makes other claims of the workspace wait until the commit.
    at = horizon.begin(workspace_id, chosen)
    return [Claim(batch_id, token, workspace_id, at, attempts) for batch_id, token, attempts in tokens]


def renew(claims: Sequence[Claim]) -> None:
    """A new lease for those claims that still stand."""
    with connection.cursor() as cursor:
        ids, tokens = [c.batch_id for c in claims], [c.token for c in claims]
        cursor.execute(sql.RENEW, [ids, tokens, settings.EVERMUSE_LEASE_SECONDS])


def release(claims: Sequence[Claim], *, policy: RetryPolicy, reason: str, crashed: bool = False) -> None:
    """Give claims back before their lease ends; the batches wait by the policy. ``crashed``: claim them alone."""
    parameters: dict[str, Any] = {
        "crashed": crashed,
        "reason": reason.replace("\0", "")[:500],
        "ids": [c.batch_id for c in claims],
        "tokens": [c.token for c in claims],
        "waits": [policy.backoff(c.attempts) for c in claims],
        "lone_waits": [retry_policy.LANDING_LONE_FAULT.backoff(c.attempts) for c in claims],
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.RELEASE, parameters)
        released = {row[0] for row in cursor.fetchall()}
        _end_landing([claim for claim in claims if claim.batch_id in released])


def _end_landing(claims: Sequence[Claim]) -> None:
    """These claims commit no more rows: the lists of their workspace need not wait for them."""
    landings: dict[tuple[int, datetime], list[int]] = {}
    for claim in claims:
        landings.setdefault((claim.workspace_id, claim.at), []).append(claim.batch_id)
    for (workspace_id, at), batch_ids in landings.items():
        horizon.end(workspace_id, at, batch_ids)


def end_forgotten_landings() -> int:
    """End open landings of batches that have left LANDING, for whatever reason it was not done with that; how many.

    A worker of a version that knows no open landings may have taken over a batch. Such a batch's claim is over: its
    landing commits no more.
    """
    ended = 0
    for landing in horizon.opened_before(seconds=FORGOTTEN_SECONDS):
        landing_now = Batch.objects.filter(id__in=landing.batch_ids, status=Status.LANDING).values_list("id", flat=True)
        if over := sorted(set(landing.batch_ids) - set(landing_now)):
            with transaction.atomic():
                horizon.end(landing.workspace_id, landing.at, over)
            ended += 1
    return ended


def hold(claims: Sequence[Claim]) -> list[Claim]:
    """Inside a transaction: those claims that still stand, their batches locked until it ends."""
    held = {row[0] for row in prepared.rows(sql.HOLD, [[c.batch_id for c in claims], [c.token for c in claims]])}
    return [c for c in claims if c.batch_id in held]


def mark_landed(counts: Sequence[LandedCounts]) -> None:
    """LANDING → LANDED or FAILED with the worker's counts, for batches that `hold` has locked."""
    rows = [
        (
            c.claim.batch_id,
            c.claim.token,
            c.status,
            c.verdict.type,
            len(c.verdict.accepted),
            len(c.verdict.rejected),
            c.verdict.error_count,
            json.dumps(c.verdict.first_errors()),
            c.failure,
        )
        for c in counts
    ]
    changed = prepared.rows(sql.LANDED, [list(column) for column in zip(*rows, strict=True)])
    if len(changed) != len(rows):
        raise RuntimeError(f"{len(rows)} batches were held, {len(changed)} changed")
    _end_landing([c.claim for c in counts])


def mark_processing(batch_ids: Sequence[int]) -> None:
    """LANDED → PROCESSING."""
    prepared.rows(sql.PROCESSING, [list(batch_ids)])


def mark_complete(batch_ids: Sequence[int]) -> int:
    """PROCESSING → COMPLETE; the number that changed."""
    return len(prepared.rows(sql.COMPLETE, [list(batch_ids)]))


def reopen(batch_id: int) -> bool:
    """FAILED → LANDING, because somebody asked for a retry; False when it is in another state."""
    reopened = (
        Batch.objects.filter(id=batch_id, status=Status.FAILED).update(
            status=Status.LANDING,
            claim_token=F("claim_token") + 1,
            claimed_until=None,
            not_before=None,
            crashes=0,
            lone_crashes=0,
            failure="",
            completed_at=None,
        )
        == 1
    )
    if reopened:
        log.info("batch.reopened", batch_id=public_ids.of_batch(batch_id))
    return reopened


def pull_forward(batch_ids: Sequence[int]) -> int:
    """Have batches that wait after a fault be claimed now, unless a worker is at them; how many."""
    waiting = Batch.objects.filter(id__in=batch_ids, status=Status.LANDING, claimed_until=None)
    return waiting.update(not_before=None)
