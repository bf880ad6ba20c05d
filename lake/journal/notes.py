"""Inserts entries for the journal, in the transaction that they describe.

Insert the entry last in the transaction. Its id is then drawn while all locks are held, so it is greater than the ids of the
transactions that this one depends on. An entry only names rows. The journal is written from these rows after they are committed
(`lake.journal.writing`). A landing needs one entry, however many records it has.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from evermuse import prepared
from lake.journal import sql
from lake.models import JournalEntry

Kind = JournalEntry.Kind


def landed(workspace_id: int, at: datetime, batch_ids: Sequence[int]) -> None:
    """Batches landed together, or failed because every record was rejected. ``at``: the instant of the landing."""
    _note(workspace_id, Kind.LANDED, at=at, batches=batch_ids)


def given_up(workspace_id: int, batch_ids: Sequence[int], reason: str) -> None:
    """Batches were given up. ``reason``: the failure's code."""
    _note(workspace_id, Kind.GIVEN_UP, batches=batch_ids, reason=reason)


def moved(workspace_id: int, batch_ids: Sequence[int]) -> None:
    """Compaction moved the lines of batches to another segment, or dropped all of them."""
    _note(workspace_id, Kind.MOVED, batches=batch_ids)


def changed(workspace_id: int, record_ids: Sequence[UUID]) -> None:
    """Rows of records were written by something other than a landing."""
    _note(workspace_id, Kind.CHANGED, records=record_ids)


def removed(workspace_id: int, at: datetime, record_ids: Sequence[UUID], reason: str) -> None:
    """Records were removed, with all their versions."""
    _note(workspace_id, Kind.REMOVED, at=at, records=record_ids, reason=reason)


def _note(
    workspace_id: int,
    kind: Kind,
    *,
    at: datetime | None = None,
    batches: Sequence[int] | None = None,
    records: Sequence[UUID] | None = None,
    reason: str = "",
) -> None:
    prepared.rows(
        sql.NOTE,
        {
            "workspace": workspace_id,
            "kind": str(kind),
            "at": at,
            "batches": None if batches is None else list(batches),
            "records": None if records is None else list(records),
            "reason": reason,
        },
    )
