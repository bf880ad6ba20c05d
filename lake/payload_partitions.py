"""The partitions of the payloads: ranges of batch ids. They are made ahead, and one that has expired is detached and dropped.

There is no default partition: with one, no other could be detached without a lock that inserts wait for. If nobody made
partitions in time, the insert fails (`is_missing`), and whoever inserts makes them and tries again.

No statement here makes an insert wait: attaching and detaching CONCURRENTLY take locks that inserts do not conflict with. Each
step can be repeated after a crash: a partition that was detached is found by its name, and its name says where it begins.
"""

import re
from dataclasses import dataclass

from django.db import IntegrityError, connection, transaction

from evermuse.advisory_locks import AdvisoryLock

WIDTH = 2_000_000
# How many ids beyond the last batch have a partition: inserts fail without one.
AHEAD = 8 * WIDTH
CHECK_VIOLATION = "23514"

PARTITIONS = """
SELECT c.relname::text, pg_get_expr(c.relpartbound, c.oid), i.inhdetachpending
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'lake_payloadpart'::regclass
"""
DETACHED = r"""
SELECT c.relname::text FROM pg_class c JOIN pg_class parent ON parent.relnamespace = c.relnamespace
WHERE parent.oid = 'lake_payloadpart'::regclass AND c.relkind = 'r' AND NOT c.relispartition
  AND c.relname ~ '^lake_payload_p[0-9]+$' ORDER BY c.oid
"""
_BOUNDS = re.compile(r"FROM \((?:MINVALUE|'?(-?\d+)'?)\) TO \('?(-?\d+)'?\)")
_NAME = re.compile(r"lake_payload_p[0-9]+")


@dataclass(frozen=True, slots=True, order=True)
class PayloadPartition:
    """Payloads of the batches with ids from ``start`` to below ``end``. ``is_leaving``: a crash left it half detached."""

    start: int
    end: int
    name: str
    is_leaving: bool = False


def partitions() -> list[PayloadPartition]:
    """All partitions, by their range."""
    found: list[PayloadPartition] = []
    with connection.cursor() as cursor:
        cursor.execute(PARTITIONS)
        for name, bounds, is_leaving in cursor.fetchall():
            match = _BOUNDS.search(bounds)
            assert match is not None, f"partition {name} has the bounds {bounds}"
            found.append(PayloadPartition(int(match[1] or 0), int(match[2]), name, is_leaving))
    return sorted(found)


def make_ahead(last_id: int) -> int:
    """Make partitions for the next ids. Returns their number. 0 while another process makes them."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [AdvisoryLock.PAYLOAD_PARTITIONS])
        return _make(last_id) if cursor.fetchone()[0] else 0


def make_at_once(last_id: int) -> int:
    """The same for an insert that failed. Waits, for a bounded time, while another process makes partitions."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '2s'")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [AdvisoryLock.PAYLOAD_PARTITIONS])
        return _make(last_id)


def _make(last_id: int) -> int:
    made = 0
    start = _end()
    with connection.cursor() as cursor:
        while start < last_id + AHEAD:
            # After a leap of the ids, one partition covers all that were skipped.
            end = max(start, last_id // WIDTH * WIDTH) + WIDTH
            name = _checked(f"lake_payload_p{start}")
            cursor.execute(f"CREATE TABLE {name} (LIKE lake_payloadpart INCLUDING ALL)")
            cursor.execute(f"ALTER TABLE lake_payloadpart ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})")
            start = end
            made += 1
    return made


def _end() -> int:
    """Ids from this one on have no partition."""
    return max(one.end for one in partitions())


def ids_left(last_id: int) -> int:
    """How many ids after one still have a partition."""
    return max(_end() - 1 - last_id, 0)


def is_missing(error: IntegrityError) -> bool:
    """Whether an insert failed because its id has no partition."""
    diagnosis = getattr(error.__cause__, "diag", None)
    return (
        diagnosis is not None
        and diagnosis.sqlstate == CHECK_VIOLATION
        and diagnosis.table_name == "lake_payloadpart"
        and diagnosis.constraint_name is None
    )


def detach(partition: PayloadPartition) -> None:
    """Detach a partition, outside of transactions. Waits for statements that may still see it, and blocks no other statement."""
    name = _checked(partition.name)
    with connection.cursor() as cursor:
        how = "FINALIZE" if partition.is_leaving else "CONCURRENTLY"
        cursor.execute(f"ALTER TABLE lake_payloadpart DETACH PARTITION {name} {how}")


def detached() -> list[str]:
    """Tables that were partitions and still have to be emptied and dropped."""
    with connection.cursor() as cursor:
        cursor.execute(DETACHED)
        return [row[0] for row in cursor.fetchall()]


def drop(name: str) -> int:
    """Drop a detached partition in the caller's transaction. Returns the number of its payloads."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {_checked(name)}")  # noqa: S608  (checked)
        count = int(cursor.fetchone()[0])
        cursor.execute(f"DROP TABLE {_checked(name)}")
    return count


def _checked(name: str) -> str:
    assert _NAME.fullmatch(name), f"{name} is not a partition"
    return name
