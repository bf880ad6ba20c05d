"""Claims: which batches this worker may land, and for how long.

Each statement is a conditional UPDATE (`ingest.sql`). The claim's token is the fence: a worker whose claim was taken over
cannot write any more.
"""

import os
import secrets
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from evermuse import logs, prepared, public_ids, retry_policy
from evermuse.named_rows import expect_count, fetch
from evermuse.retry_policy import RetryPolicy
from ingest import failure_codes, sql
from ingest.failure_codes import BatchFailure
from ingest.models import Batch, Workspace
from lake import horizon
from lake.journal import notes

log = logs.get(__name__)

# A claim takes several small batches or two large ones, so that its cost does not grow with the number of records. All of
# them are in memory until the commit, at three to four times their size.
CLAIM_BATCHES, CLAIM_RECORDS, CLAIM_BYTES = 64, 2000, 8 * 1024 * 1024
# A workspace whose last claim held several batches sends more. The next claim waits this long for them, so that they share a
# transaction and an object. A batch that comes alone is claimed at once.
GATHER_SECONDS, GATHER_STEP_SECONDS = 0.1, 0.01
# A batch is given up after this many crashes while it was claimed alone. Each crash may cost a hang and a lease.
MAX_LONE_CRASHES = 3
# The sweeper checks open landings that are older than this: they may have been left open by mistake.
FORGOTTEN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Claim:
    """A batch that this worker may land until its lease ends. Every final UPDATE compares ``token``.

    ``at`` is the instant of the landing; batches that were claimed together share it (`lake.horizon`). ``attempts`` counts
    the claims of the batch, this one included.
    """

    batch_id: int
    token: int
    workspace_id: int
    at: datetime
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class _WaitingBatch:
    """A row of `sql.WAITING`. ``size`` is in bytes; ``crashed``: the last claim's lease ended without a release."""

    id: int
    workspace_id: int
    record_count: int
    size: int
    crashed: bool
    claimed_alone: bool
    crashes: int
    lone_crashes: int

    @property
    def is_suspect(self) -> bool:
        """Whether a worker crashed while it landed this batch, alone or with others."""
        return self.crashed or self.crashes > 0

    @property
    def is_hopeless(self) -> bool:
        """Whether it crashed too many workers while it was claimed alone."""
        return self.lone_crashes + (self.crashed and self.claimed_alone) >= MAX_LONE_CRASHES


@dataclass(frozen=True, slots=True)
class BatchId:
    id: int


@dataclass(frozen=True, slots=True)
class _WorkspaceId:
    workspace_id: int


@dataclass(frozen=True, slots=True)
class _Go:
    go: bool


@dataclass(frozen=True, slots=True)
class _Token:
    id: int
    claim_token: int
    attempts: int


def waiting(limit: int) -> list[int]:
    """Ids of up to ``limit`` batches that `claim` would find now."""
    return [row.id for row in fetch(BatchId, sql.WAITING_ANYWHERE, {**_plausible(), "limit": limit})]


def _plausible() -> dict[str, float]:
    return {"lease": settings.EVERMUSE_LEASE_SECONDS, "longest_delay": retry_policy.furthest(*retry_policy.LANDING)}


class _Turn:
    """The workspace that this process served last; the next claim starts after it.

    The start is random. If each process started at the same workspace and died of its batches, the other workspaces would
    never be served.
    """

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


class Gathering(Exception):
    """Only batches of these workspaces wait, and will be claimed together with others in a moment."""

    def __init__(self, workspace_ids: set[int]) -> None:
        super().__init__(workspace_ids)
        self.workspace_ids = workspace_ids


def claim(*, is_patient: bool = False) -> list[Claim]:
    """Claim waiting batches of the next workspace: several small ones or two large ones.

    A batch that crashed a worker is claimed alone. Returns nothing only if other workers hold all waiting batches.
    ``is_patient``: leave a few batches of a busy workspace for `GATHER_SECONDS`; raises Gathering when nothing else waits.
    """
    passed: set[int] = set()
    gathering: set[int] = set()
    while True:
        with transaction.atomic():
            found = fetch(_WaitingBatch, sql.WAITING, {**_plausible(), "limit": CLAIM_BATCHES, "after": _turn.last})
            if found:
                workspace_id = _turn.last = found[0].workspace_id
                if workspace_id in gathering:
                    raise Gathering(gathering)
                if is_patient and _gathers(found):
                    gathering.add(workspace_id)
                    continue
                if claims := _claim(found):
                    return claims
                continue  # every batch found there was given up
            busy = fetch(_WorkspaceId, sql.NEXT_WORKSPACE, {**_plausible(), "after": _turn.last})
        if not busy or busy[0].workspace_id in passed:
            if gathering:
                raise Gathering(gathering)
            return []
        _turn.last = busy[0].workspace_id
        passed.add(_turn.last)


def await_company(workspace_ids: set[int]) -> None:
    """Wait until a claim of these workspaces is worth it or another workspace's batch waits, at most `GATHER_SECONDS`.

    It only reads, because each claim would lock the rows.
    """
    ends_at = time.monotonic() + GATHER_SECONDS
    parameters = {**_plausible(), "workspaces": sorted(workspace_ids), "limit": CLAIM_BATCHES}
    while time.monotonic() < ends_at:
        time.sleep(GATHER_STEP_SECONDS)
        if fetch(_Go, sql.GATHERED, parameters)[0].go:
            return


def _gathers(found: Sequence[_WaitingBatch]) -> bool:
    """Whether a claim of these batches should wait for more."""
    if len(found) == CLAIM_BATCHES:
        return False
    if sum(batch.record_count for batch in found) >= CLAIM_RECORDS or sum(batch.size for batch in found) >= CLAIM_BYTES:
        return False
    return horizon.claimed_several(found[0].workspace_id, within=GATHER_SECONDS)


def _claim(found: Sequence[_WaitingBatch]) -> list[Claim]:
    """Claim as many of a workspace's waiting batches as may be landed together. Their rows are locked."""
    workspace_id = found[0].workspace_id
    if hopeless := [batch.id for batch in found if batch.is_hopeless]:
        _give_up(workspace_id, hopeless)
    chosen, is_alone = _chosen([batch for batch in found if not batch.is_hopeless])
    if not chosen:
        return []
    who = f"{socket.gethostname()}:{os.getpid()}:{threading.get_native_id()}"
    claimed = fetch(_Token, sql.CLAIM, {**_plausible(), "who": who, "alone": is_alone, "ids": chosen})
    expect_count("claim", changed=len(claimed), expected=len(chosen))
    # Last, because its lock makes other claims of the workspace wait until the commit.
    at = horizon.begin(workspace_id, chosen)
    return [
        Claim(row.id, row.claim_token, workspace_id, at, row.attempts)
        for row in sorted(claimed, key=lambda row: row.id)
    ]


def _chosen(found: Sequence[_WaitingBatch]) -> tuple[list[int], bool]:
    """The ids to claim together, and whether that is one suspect batch alone."""
    if found and found[0].is_suspect:
        return [found[0].id], True
    chosen: list[int] = []
    room, room_bytes = CLAIM_RECORDS, CLAIM_BYTES
    for batch in found:
        if batch.is_suspect or (chosen and (batch.record_count > room or batch.size > room_bytes)):
            break
        chosen.append(batch.id)
        room -= batch.record_count
        room_bytes -= batch.size
    return chosen, False


def _give_up(workspace_id: int, batch_ids: list[int]) -> None:
    """LANDING → FAILED for batches that crashed too many workers. Their rows are locked."""
    failure = failure_codes.given_up(MAX_LONE_CRASHES)
    parameters = {"failure": failure.text, "failure_code": failure.code, "ids": batch_ids}
    given_up = fetch(BatchId, sql.GIVE_UP, parameters)
    expect_count("give up", changed=len(given_up), expected=len(batch_ids))
    horizon.abandon(workspace_id, batch_ids)
    notes.given_up(workspace_id, batch_ids, failure.code)
    log.error("batch.given_up", batch_ids=[public_ids.of_batch(i) for i in batch_ids])


def renew(claims: Sequence[Claim]) -> None:
    """Extend the lease of claims that are still held. A lost claim is not an error here: `hold` finds it at the commit."""
    fetch(BatchId, sql.RENEW, {**_pairs(claims), "lease": settings.EVERMUSE_LEASE_SECONDS})


def release(claims: Sequence[Claim], *, policy: RetryPolicy, failure: BatchFailure, crashed: bool = False) -> None:
    """Give claims back before their lease ends. The batches wait as the policy says. ``crashed``: claim them alone next time."""
    parameters = {
        **_pairs(claims),
        "crashed": crashed,
        "failure": failure.text,
        "failure_code": failure.code,
        "waits": [policy.backoff(claim.attempts) for claim in claims],
        "lone_waits": [retry_policy.LANDING_LONE_FAULT.backoff(claim.attempts) for claim in claims],
    }
    with transaction.atomic():
        released = {row.id for row in fetch(BatchId, sql.RELEASE, parameters)}
        end_landing([claim for claim in claims if claim.batch_id in released])


def hold(claims: Sequence[Claim]) -> list[Claim]:
    """Return the claims that are still held, with their batches locked until the caller's transaction ends."""
    held = {row.id for row in prepared.rows_of(BatchId, sql.HOLD, _pairs(claims))}
    return [claim for claim in claims if claim.batch_id in held]


def _pairs(claims: Sequence[Claim]) -> dict[str, list[int]]:
    return {"ids": [claim.batch_id for claim in claims], "tokens": [claim.token for claim in claims]}


def end_landing(claims: Sequence[Claim]) -> None:
    """End these claims' open landings (`lake.horizon`): they write no more records, so lists need not end before them."""
    landings: dict[tuple[int, datetime], list[int]] = {}
    for claim in claims:
        landings.setdefault((claim.workspace_id, claim.at), []).append(claim.batch_id)
    for (workspace_id, at), batch_ids in landings.items():
        horizon.end(workspace_id, at, batch_ids)


def end_forgotten_landings() -> int:
    """End open landings whose batches have left LANDING. Returns how many.

    A worker of an older version does not know open landings and may have taken a batch over. The claim that opened the
    landing is over then and writes nothing more.
    """
    ended = 0
    for landing in horizon.opened_before(seconds=FORGOTTEN_SECONDS):
        landing_now = Batch.objects.filter(id__in=landing.batch_ids, status=Batch.Status.LANDING)
        if over := sorted(set(landing.batch_ids) - set(landing_now.values_list("id", flat=True))):
            with transaction.atomic():
                horizon.end(landing.workspace_id, landing.at, over)
            ended += 1
    return ended


def pull_forward(batch_ids: Sequence[int]) -> int:
    """Let batches that wait after a fault be claimed at once, unless a worker holds them. Returns their number."""
    waiting = Batch.objects.filter(id__in=batch_ids, status=Batch.Status.LANDING, claimed_until=None)
    return waiting.update(not_before=None)
