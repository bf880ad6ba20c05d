"""Removes records and files when their event is older than their workspace allows.

A record is removed with all its versions and files. A record whose files are still being fetched stays until they settle.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby, islice
from uuid import UUID

from attachments import removal as files
from evermuse import public_ids
from evermuse.retention import READ_AT_ONCE, Due, Kind, Postponed
from ingest.clients import holds
from lake import removal
from lake.models import RemovedRecord

# The most records that a run removes from one workspace. The next run continues.
RECORDS_OF_A_RUN = 10_000


def _all_records(now: datetime) -> Iterator[Due]:
    for workspace_id, before in holds.records_before(now).items():
        yield from _settled(removal.all_expired(workspace_id, before, limit=READ_AT_ONCE), workspace_id)


def _records_of_a_run(now: datetime) -> Iterator[Due]:
    for workspace_id, before in holds.records_before(now).items():
        yield from _settled(iter(removal.expired(workspace_id, before, limit=RECORDS_OF_A_RUN)), workspace_id)


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
