"""Removes records and files when their event is older than their workspace allows.

A record is removed with all its versions and files. A record whose files are still being fetched stays until they settle.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby, islice
from uuid import UUID

from attachments import removal as files
from evermuse import public_ids
from evermuse.retention import READ_AT_ONCE, Due, Kind, Postponed
from ingest.clients import holds
from lake import removal
from lake.models import RemovedRecord

# Records read for one workspace before the next workspace gets its turn.
RECORDS_AT_ONCE = 2000


@dataclass(slots=True)
class _Unread:
    """How far a run is in a workspace. ``seen``: the records that it has read. ``staying``: those that the last page returned
    again."""

    workspace_id: int
    before: datetime
    seen: set[UUID] = field(default_factory=set)
    staying: int = 0


def _all_records(now: datetime) -> Iterator[Due]:
    for workspace_id, before in holds.records_before(now).items():
        yield from _settled(removal.all_expired(workspace_id, before, limit=READ_AT_ONCE), workspace_id)


def _records_of_a_run(now: datetime) -> Iterator[Due]:
    """Each workspace in turn, so that one with many expired records does not hold up the others.

    A run may end at any time, so each begins with another workspace.
    """
    turns = deque(_Unread(workspace_id, before) for workspace_id, before in holds.records_before(now).items())
    turns.rotate(int(time.time()))
    while turns:
        turn = turns.popleft()
        limit = RECORDS_AT_ONCE + turn.staying
        page = removal.expired(turn.workspace_id, turn.before, limit=limit)
        new = [one for one in page if one not in turn.seen]
        turn.seen.update(new)
        # Records that were read and are not removed are read again: files at work, or rows that a landing has locked.
        turn.staying = len(page) - len(new)
        yield from _settled(iter(new), turn.workspace_id)
        if len(page) == limit:
            turns.append(turn)


def _settled(ids: Iterator[UUID], workspace_id: int) -> Iterator[Due]:
    while part := list(islice(ids, READ_AT_ONCE)):
        at_work = files.records_at_work(part)
        yield from (Due((workspace_id, one), public_ids.of_record(one)) for one in part if one not in at_work)


def _remove_records(now: datetime, found: Sequence[Due]) -> int:
    cutoffs = holds.records_before(now)
    removed = 0
    for workspace_id, part in groupby(found, key=lambda due: due.key[0]):
        if workspace_id in cutoffs:
            removed += _remove_of(workspace_id, cutoffs[workspace_id], [due.key[1] for due in part])
    return removed


def _remove_of(workspace_id: int, before: datetime, ids: Sequence[UUID]) -> int:
    try:
        # Before any row is locked: a landing that has begun may hold records, and no other begins until this transaction
        # ends.
        at = removal.draw(workspace_id)
    except removal.LandingOpen:
        raise Postponed from None
    locked = removal.lock_expired(workspace_id, before, ids)
    at_work = files.records_at_work(locked)
    gone = [one for one in locked if one not in at_work]
    files.remove_of_records(gone)
    return removal.remove(workspace_id, gone, at=at, reason=RemovedRecord.Reason.RETENTION)


def _files(now: datetime) -> Iterator[Due]:
    for workspace_id, before in holds.files_before(now).items():
        for one in files.expired(workspace_id, before, limit=READ_AT_ONCE):
            yield Due((workspace_id, one), public_ids.of_attachment(one))


def _remove_files(now: datetime, found: Sequence[Due]) -> int:
    cutoffs = holds.files_before(now)
    return sum(
        files.remove_expired(workspace_id, cutoffs[workspace_id], [due.key[1] for due in part])
        for workspace_id, part in groupby(found, key=lambda due: due.key[0])
        if workspace_id in cutoffs
    )


KINDS = (
    Kind(
        "records",
        "Records by the age of their event",
        None,
        _all_records,
        _remove_records,
        due_in_run=_records_of_a_run,
    ),
    Kind("attachments", "Files by the age of their event", None, _files, _remove_files),
)
