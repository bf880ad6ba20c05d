"""Removes old payloads by dropping partitions. Payloads that must stay are moved out; then the partition is detached, checked
again and dropped.

A partition whose ids were assigned within `QUICK` is dropped as a whole when its last batch has expired. In other partitions
payloads are removed row by row first (`ingest.pipeline.detail`).

A payload that must stay moves to `PayloadKept` in one statement, so readers find it in one of the two tables at any time. The
check after the detach finds what has changed since, such as a legal hold or a retry, and moves those payloads too.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from evermuse import logs
from evermuse.advisory_locks import AdvisoryLock
from ingest.admission import room
from ingest.models import Batch
from ingest.pipeline import sql
from lake import payload_partitions
from lake.payload_partitions import PayloadPartition

log = logs.get(__name__)

QUICK = timedelta(days=1)
# If more payloads than this must stay, something is wrong, such as an object store that is away. The partition waits.
MOST_KEPT = 50_000


def maintain(before: datetime) -> int:
    """Make partitions ahead, and drop those whose batches all settled before an instant. Returns the number of payloads removed."""
    room.make_ahead()
    removed = 0
    for partition in _expired(before):
        if partition.is_leaving or _move_on(partition.name, before) is not None:
            payload_partitions.detach(partition)
    for name in payload_partitions.detached():
        removed += _drop(name, before)
    return removed


def row_by_row(until: int) -> list[tuple[int, int]]:
    """Ranges of batch ids whose payloads are not removed with their partition. A range excludes its start."""
    return _between([one for one in _full() if _span(one) <= QUICK], until)


def all_expired(before: datetime, until: int) -> list[tuple[int, int]]:
    """Like `row_by_row`, with the ranges of the partitions that are dropped now."""
    expired = _expired(before)
    return _between([one for one in _full() if _span(one) <= QUICK and one not in expired], until)


def _between(whole: list[PayloadPartition], until: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    after = 0
    for one in whole:
        found.append((after, min(one.start - 1, until)))
        after = one.end - 1
    return [(first, last) for first, last in [*found, (after, until)] if first < last]


def _full() -> list[PayloadPartition]:
    """Partitions that get no new batches."""
    last = _last_id()
    return [one for one in payload_partitions.partitions() if one.end <= last]


def _expired(before: datetime) -> list[PayloadPartition]:
    """Full partitions whose last batch was accepted before an instant, and those that a crash left half detached."""
    return [one for one in _full() if one.is_leaving or ((at := _accepted(one.end, last=True)) and at < before)]


def _span(partition: PayloadPartition) -> timedelta:
    first, last = _accepted(partition.start, last=False), _accepted(partition.end, last=True)
    return last - first if first and last else timedelta()


def _accepted(batch_id: int, *, last: bool) -> datetime | None:
    """When the last batch before an id was accepted, or the first batch from that id."""
    rows = Batch.objects.order_by("-id" if last else "id")
    rows = rows.filter(id__lt=batch_id) if last else rows.filter(id__gte=batch_id)
    return rows.values_list("created_at", flat=True).first()


def _last_id() -> int:
    return Batch.objects.order_by("-id").values_list("id", flat=True).first() or 0


def _move_on(table: str, before: datetime) -> int | None:
    """Move payloads that must stay out of a table. Returns their number, or None if there are too many or another process removes."""
    parameters: dict[str, Any] = {"before": before, "limit": MOST_KEPT + 1}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [AdvisoryLock.RETENTION])
        if not cursor.fetchone()[0]:
            return None
        cursor.execute("SET LOCAL statement_timeout = '10min'")
        cursor.execute(sql.PAYLOADS_THAT_STAY.format(table=table), parameters)
        ids = [row[0] for row in cursor.fetchall()]
        if len(ids) > MOST_KEPT:
            log.error("payloads.partition_stays", partition=table, reason="too many of its payloads must stay")
            return None
        # In the order of their key. A retry locks the batch too.
        cursor.execute(sql.LOCK_BATCHES, {"ids": ids})
        cursor.execute(sql.MOVE_PAYLOADS.format(table=table), {"ids": ids})
    return len(ids)


def _drop(table: str, before: datetime) -> int:
    """Drop a detached partition, unless payloads in it must stay. Returns the number of payloads removed."""
    with transaction.atomic():
        if _move_on(table, before) is None:
            return 0
        count = payload_partitions.drop(table)
    log.info("payloads.partition_dropped", partition=table, payloads=count)
    return count
