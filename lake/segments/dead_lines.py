"""Counts the lines that no version of a record needs, so that compaction removes them from the bucket.

These are the lines of records that were sent again unchanged or arrived too late, of removed records, and of replaced versions
that expired. Each is counted in the transaction that makes it needless: later nobody could find all lines of a record.
"""

from collections.abc import Mapping

from evermuse import prepared
from lake.segments import sql


def count(lines: Mapping[int, int]) -> None:
    """Count such lines, in the transaction that publishes their segments. ``lines``: their number by segment."""
    if lines:
        prepared.rows(sql.COUNT_DEAD, [list(lines), list(lines.values())])


def hold(segments: str, parameters: Mapping[str, object]) -> None:
    """Lock segments until the caller's transaction ends, so that their dead lines are counted there.

    ``segments``: a statement that returns their ids. While a lock is waited for, compaction may move lines on to another
    segment: look again until all are locked.
    """
    held: set[int] = set()
    while missing := {id for (id,) in prepared.rows(segments, parameters)} - held:
        prepared.rows(sql.LOCK, [sorted(missing)])
        held |= missing
