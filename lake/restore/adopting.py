"""Makes objects of the bucket count again that are missing from a restored database, or are unfinished there."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from lake.journal import writing
from lake.models import Segment
from lake.restore import sql
from lake.restore.listing import BucketObject, day_of
from lake.restore.unknown_segments import Unit, UnknownSegment
from lake.segments import registry


def segment(unknown: UnknownSegment) -> int:
    """Let a segment count, in the caller's transaction. Returns the id of its row. Idempotent."""
    source = next(iter(unknown.units.values())).part.source
    return _adopt(
        {
            "workspace": unknown.workspace_id,
            "source": source,
            "type": unknown.type,
            "day": day_of(unknown.found.key),
            "key": unknown.found.key,
            "layout": Segment.Layout.LISTED,
            "size": unknown.found.size,
            "lines": unknown.line_count,
            "dead": 1,
        }
    )


def journal_object(workspace_id: int, found: BucketObject) -> int:
    """Let an object of a journal count, in the caller's transaction. Idempotent."""
    first, last = writing.numbers_of(found.key)
    return _adopt(
        {
            "workspace": workspace_id,
            "source": writing.SOURCE,
            "type": writing.TYPE,
            "day": datetime.now(UTC).date(),
            "key": found.key,
            "layout": Segment.Layout.JOURNAL,
            "size": found.size,
            "lines": last - first + 1,
            "dead": 0,
        }
    )


def point(units: Iterable[Unit]) -> None:
    """Point batches to their lines, in the caller's transaction."""
    registry.point([(unit.part.number, segment(unit.segment), unit.span) for unit in units])


def live() -> list[tuple[int, str, int]]:
    """Id, key and layout of each segment that counts."""
    return [(row[0], row[1], row[2]) for row in _rows(sql.LIVE)]


def known() -> set[str]:
    """Keys of objects that have a row and do not count: unfinished, replaced, abandoned."""
    return {row[0] for row in _rows(sql.KNOWN)}


def batches_in(segment_ids: Sequence[int]) -> dict[int, int]:
    """The batches that point to these segments, each with its segment."""
    return dict(_rows(sql.BATCHES_IN, [list(segment_ids)]))


def empty(batch_ids: Sequence[int]) -> None:
    """Note that no line of these batches is needed any more, in the caller's transaction."""
    _execute(sql.EMPTY, [list(batch_ids)])


def forget_gone(segment_ids: Sequence[int]) -> None:
    """Delete rows of segments whose objects are gone and which no batch needs."""
    _execute(sql.FORGET_GONE, [list(segment_ids)])


def last_number(workspace_id: int) -> int:
    """The number of the last event that the database knows of a workspace's journal."""
    rows = _rows(sql.LAST_NUMBER, [workspace_id])
    return int(rows[0][0]) if rows else 0


def continue_journal(workspace_id: int, last: int) -> None:
    """Let a journal continue after the last number that the bucket has, in the caller's transaction."""
    _execute(sql.CONTINUE_JOURNAL, {"workspace": workspace_id, "last": last})


def fill_journal_again() -> None:
    """Have the journal list all records again."""
    _execute(sql.FILL_AGAIN)


def _adopt(row: dict[str, Any]) -> int:
    found = _rows(sql.REVIVE, row) or _rows(sql.ADOPT, row)
    return int(found[0][0])


def _rows(statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def _execute(statement: str, parameters: Any = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
