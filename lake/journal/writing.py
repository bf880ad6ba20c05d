"""Writes the journal: entries become objects of the bucket, ordered by workspace and number.

    claim the workspace ▸ bind the next entries to numbers ▸ commit the object's key ▸ PUT ▸ one transaction: the object counts,
    the entries are gone

An entry is deleted only when it is published, so an entry that commits late is never skipped. A worker may be killed at any
step. The next worker finds the entries bound to the same numbers and writes them again, into a new object. The sweeper deletes
the first object. Readers who see both objects recognise events by their numbers.
"""

import secrets
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import zstandard
from django.conf import settings
from django.db import transaction

from evermuse import logs, prepared
from evermuse.errors import LeaseLost, StoreUnavailable
from lake import object_store
from lake.journal import events, sql
from lake.journal.events import Entry, FactsOf
from lake.models import Segment
from lake.segments import registry, storing
from lake.segments import sql as segments_sql
from lake.segments.registry import Draft, Partition

log = logs.get(__name__)

# The rows of `lake_segment` that are parts of a journal. No source has an empty name.
SOURCE, TYPE = "", "journal"
# The most events in an object. Each may be a landing of some thousand records.
MOST_EVENTS = 200
# Workspaces whose objects are written at the same time.
WORKSPACES_AT_ONCE = 16
LEVEL = 3
_uploads = ThreadPoolExecutor(WORKSPACES_AT_ONCE, thread_name_prefix="journal")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row of `sql.WAITING`: a workspace with entries that are not written, and when the oldest was noted."""

    workspace_id: int
    since: datetime


@dataclass(frozen=True, slots=True)
class JournalClaim:
    """A row of `sql.BIND`: entries with the numbers from ``first`` on. ``token``: the fence."""

    workspace_id: int
    token: int
    first: int
    entry_ids: list[int]

    @property
    def last(self) -> int:
        return self.first + len(self.entry_ids) - 1


def waiting() -> list[Waiting]:
    """The workspaces with entries that are not written yet."""
    return prepared.rows_of(Waiting, sql.WAITING, {})


def behind_seconds() -> float:
    """The age of the oldest entry that is not written. 0 if all are written."""
    oldest = min((one.since for one in waiting()), default=None)
    return 0.0 if oldest is None else max((datetime.now(UTC) - oldest).total_seconds(), 0.0)


def unwritten(batch_ids: Sequence[int], before: datetime) -> set[int]:
    """The batches among these whose landing is not written yet. ``before``: an instant after they landed."""
    return {row[0] for row in prepared.rows(sql.UNWRITTEN, {"batches": list(batch_ids), "before": before})}


def write(*, seconds: float, names_of: events.NamesOf, facts_of: FactsOf) -> int:
    """Write waiting entries for some seconds. Returns the number of events. Skips journals that other workers write.

    Raises StoreUnavailable. The entries then wait for the next call.
    """
    ends_at = time.monotonic() + seconds
    written = 0
    while workspaces := [one.workspace_id for one in waiting()]:
        found = 0
        for at in range(0, len(workspaces), WORKSPACES_AT_ONCE):
            found += _write(workspaces[at : at + WORKSPACES_AT_ONCE], names_of, facts_of)
            if time.monotonic() >= ends_at:
                return written + found
        written += found
        if not found:
            break
    return written


def _write(workspaces: Sequence[int], names_of: events.NamesOf, facts_of: FactsOf) -> int:
    """Write one object for each of these workspaces that can be claimed. Returns the number of events."""
    claims = _claim(workspaces)
    if not claims:
        return 0
    # A PUT that starts after the lease has expired could end while another worker writes the same journal.
    ends_at = time.monotonic() + settings.EVERMUSE_LEASE_SECONDS
    written = 0
    drafts: list[tuple[JournalClaim, Draft]] = []
    try:
        names = names_of([claim.workspace_id for claim in claims])
        drafts = [(claim, _draft(claim, names[claim.workspace_id], facts_of)) for claim in claims]
        registry.intend([draft for _, draft in drafts])
        puts = [(claim, draft, _uploads.submit(storing.put, draft, ends_at)) for claim, draft in drafts]
        faults = []
        for claim, draft, put in puts:
            if isinstance(stored := put.result(), StoreUnavailable):
                faults.append(stored)
            elif _publish(claim, draft):
                written += len(claim.entry_ids)
        if faults:
            raise faults[0]
    finally:
        registry.give_up([draft.id for _, draft in drafts if draft.id])
        _release(claims)
    return written


def _claim(workspaces: Sequence[int]) -> list[JournalClaim]:
    """Claim the journals that no other worker writes, with their next entries. An entry bound to a number keeps it."""
    prepared.rows(sql.ADD_JOURNALS, [list(workspaces)])
    with transaction.atomic():
        parameters = {"workspaces": list(workspaces), "lease": settings.EVERMUSE_LEASE_SECONDS}
        ours = sorted(row[0] for row in prepared.rows(sql.CLAIM, parameters))
        claims = prepared.rows_of(JournalClaim, sql.BIND, {"workspaces": ours, "limit": MOST_EVENTS})
    if empty := [claim for claim in claims if not claim.entry_ids]:
        _release(empty)
    return [claim for claim in claims if claim.entry_ids]


def _draft(claim: JournalClaim, workspace: str, facts_of: FactsOf) -> Draft:
    bound = prepared.rows_of(Entry, sql.BOUND, {"workspace": claim.workspace_id, "ids": claim.entry_ids})
    rows = {entry.id: entry for entry in bound}
    found = [rows[id] for id in claim.entry_ids]
    content = events.lines(claim.workspace_id, claim.first, found, facts_of)
    partition = Partition(claim.workspace_id, workspace, SOURCE, TYPE, datetime.now(UTC).date())
    key = key_of(workspace, claim.first, claim.last)
    compressed = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(content)
    return Draft(partition, key, compressed, {}, len(found), layout=Segment.Layout.JOURNAL)


def key_of(workspace: str, first: int, last: int) -> str:
    """A new key for the events with these numbers. Keys sort by the first number."""
    name = object_store.partition(workspace)
    return f"journal/workspace={name}/journal-{first:019d}-{last:019d}-{secrets.token_hex(16)}.ndjson.zst"


def numbers_of(key: str) -> tuple[int, int]:
    """The first and the last number in a key of `key_of`."""
    _, first, last, _ = key.rpartition("/")[2].split("-")
    return int(first), int(last)


def _publish(claim: JournalClaim, draft: Draft) -> bool:
    """Publish the object and delete its entries, if the claim still holds."""
    try:
        with transaction.atomic():
            if not prepared.rows(sql.FINISH, [claim.workspace_id, claim.token]):
                raise LeaseLost("another worker writes this journal")
            size = [len(draft.content), draft.line_count, 0, draft.id]
            if not prepared.rows(segments_sql.PUBLISH_TARGET, size):
                raise LeaseLost("the sweeper has abandoned the object")
            prepared.rows(sql.DELETE_ENTRIES, [claim.workspace_id, claim.entry_ids])
    except LeaseLost as error:
        log.warning("journal.lost", workspace_id=claim.workspace_id, error=str(error))
        return False
    return True


def _release(claims: Sequence[JournalClaim]) -> None:
    prepared.rows(sql.RELEASE, [[claim.workspace_id for claim in claims], [claim.token for claim in claims]])
