"""The horizon: the instant up to which a workspace's lists of records are final.

Incremental readers continue from the greatest ``updated_at`` that they have seen, so no row may later appear before a
row that was shown. But a landing commits long after its instant was drawn, and a landing that began later may commit
earlier. Therefore:

1. A claim draws its instant from the workspace's clock (`ChangeClock`) and commits it as an `OpenLanding` before the landing
   transaction begins. The clock's row stays locked until that commit, so whoever draws a later instant sees the open
   landing. A workspace's instants only grow, even if the machine's clock is turned back.
2. All rows that the landing writes have this instant as ``updated_at``.
3. Lists show rows before the earliest open landing of their workspace. While none is open, they show rows up to the clock's
   instant. Both are read in one statement before the rows: a landing that begins later gets a later instant.
4. An open landing ends in the transaction that commits the landing or makes its commit impossible: the batch has landed,
   was released, was claimed again under another fencing token, or was given up.

A landing that a snapshot does not show has a later instant than everything in the snapshot. What is visible depends on
no other workspace and on no other session.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

from django.db.models import Subquery, Value
from django.db.models.functions import Coalesce, Now

from evermuse import prepared
from lake.models import OpenLanding

# Whole milliseconds, as in the API: a reader that continues from an instant gets only the landings of that millisecond
# again. The row stays locked until the caller's transaction ends.
_DRAW = """
  INSERT INTO lake_changeclock AS c (workspace_id, at)
  VALUES (%(workspace)s::bigint, date_trunc('milliseconds', clock_timestamp()))
  ON CONFLICT (workspace_id) DO UPDATE SET at = greatest(EXCLUDED.at, c.at + interval '1 ms')
  RETURNING at
"""
# Removes the batches from the landing of an earlier claim. Their tokens have changed in this transaction.
_TAKE = """
  UPDATE lake_openlanding AS o SET batch_ids = ARRAY(SELECT unnest(o.batch_ids) EXCEPT SELECT unnest(%(batches)s::bigint[]))
  WHERE workspace_id = %(workspace)s::bigint AND batch_ids && %(batches)s::bigint[]
  RETURNING at
"""
_DRAW_FOR_CLAIM = """
  INSERT INTO lake_changeclock AS c (workspace_id, at, claimed)
  VALUES (%(workspace)s::bigint, date_trunc('milliseconds', clock_timestamp()), cardinality(%(batches)s::bigint[]))
  ON CONFLICT (workspace_id) DO UPDATE SET at = greatest(EXCLUDED.at, c.at + interval '1 ms'), claimed = EXCLUDED.claimed
  RETURNING at
"""
# The clock may be a little ahead of the machine's.
CLAIMED_SEVERAL = """
SELECT claimed > 1 AND at > clock_timestamp() - make_interval(secs => %s) AND at < clock_timestamp() + make_interval(secs => %s)
FROM lake_changeclock WHERE workspace_id = %s
"""
OPEN = f"""
WITH clock AS ({_DRAW_FOR_CLAIM}), taken AS ({_TAKE}), opened AS (
  INSERT INTO lake_openlanding (workspace_id, at, batch_ids)
  SELECT %(workspace)s::bigint, at, %(batches)s::bigint[] FROM clock RETURNING at
)
SELECT (SELECT at FROM opened), (SELECT count(*) FROM taken)
"""  # noqa: S608  (put together from constants)
# A separate statement after `_TAKE`, so that it sees what another transaction took from the same landing meanwhile.
FORGET_EMPTY = """
DELETE FROM lake_openlanding WHERE workspace_id = %(workspace)s::bigint AND batch_ids = '{}' RETURNING at
"""
# The usual case: all batches of a landing end together.
END_WHOLE = """
DELETE FROM lake_openlanding WHERE workspace_id = %(workspace)s::bigint AND at = %(at)s::timestamptz
  AND batch_ids <@ %(batches)s::bigint[]
RETURNING at
"""
END_PART = f"{_TAKE.replace('RETURNING', 'AND at = %(at)s::timestamptz RETURNING')}"

# One statement, so that both values come from one snapshot.
READ = """
SELECT (SELECT min(at) FROM lake_openlanding WHERE workspace_id = %(workspace)s::bigint),
  (SELECT at FROM lake_changeclock WHERE workspace_id = %(workspace)s::bigint)
"""

# The number of old landings that one round checks.
MOST_LOOKED_AT = 1000
_NONE_OPEN = datetime(9999, 12, 31, tzinfo=UTC)


def begin(workspace_id: int, batch_ids: Sequence[int]) -> datetime:
    """Open a landing in the transaction that claims its batches, and return its instant. Earlier claims lose the
    batches.
    """
    [(at, taken)] = prepared.rows(OPEN, {"workspace": workspace_id, "batches": list(batch_ids)})
    if taken:
        prepared.rows(FORGET_EMPTY, {"workspace": workspace_id})
    return cast(datetime, at)


def claimed_several(workspace_id: int, *, within: float) -> bool:
    """Whether the workspace's last claim had more than one batch and is at most ``within`` seconds old."""
    found = prepared.rows(CLAIMED_SEVERAL, [within, within, workspace_id])
    return bool(found and found[0][0])


def end(workspace_id: int, at: datetime, batch_ids: Sequence[int]) -> None:
    """Remove batches from the landing of this instant, in the transaction that lands or releases them."""
    parameters = {"workspace": workspace_id, "batches": list(batch_ids), "at": at}
    if not prepared.rows(END_WHOLE, parameters) and prepared.rows(END_PART, parameters):
        prepared.rows(FORGET_EMPTY, parameters)


def abandon(workspace_id: int, batch_ids: Sequence[int]) -> None:
    """Remove batches from their landing, in the transaction that changes their fence without claiming them."""
    parameters = {"workspace": workspace_id, "batches": list(batch_ids)}
    if prepared.rows(_TAKE, parameters):
        prepared.rows(FORGET_EMPTY, parameters)


def opened_before(*, seconds: float) -> list[OpenLanding]:
    """Landings that were opened more than ``seconds`` ago, the earliest first."""
    old = OpenLanding.objects.filter(at__lt=Now() - timedelta(seconds=seconds))
    return list(old.order_by("at")[:MOST_LOOKED_AT])


def draw(workspace_id: int) -> datetime:
    """An instant for rows that the caller's transaction writes without an open landing.

    Keep that transaction short, because claims of the workspace wait for it.
    """
    [(at,)] = prepared.rows(_DRAW, {"workspace": workspace_id})
    return cast(datetime, at)


def position(workspace_id: int) -> datetime | None:
    """The horizon as an instant, or None before the workspace's first landing."""
    [(first_open, last)] = prepared.rows(READ, {"workspace": workspace_id})
    if first_open is not None:
        return cast(datetime, first_open)
    # Everything up to the last instant has landed, or never will.
    return None if last is None else cast(datetime, last) + timedelta(milliseconds=1)


def of(workspace_id: int) -> datetime | Coalesce:
    """Rows with an earlier ``updated_at`` are final. Call it before each statement that reads rows.

    It returns a value, so that PostgreSQL can plan with it. For an unknown upper bound the planner expects few rows,
    and walks through all changes instead of using the index of terms.
    """
    if (known := position(workspace_id)) is not None:
        return known
    # The first landing may begin at any moment. The reading statement's own snapshot then shows its open landing.
    opened = OpenLanding.objects.filter(workspace_id=workspace_id).order_by("at").values("at")[:1]
    return Coalesce(Subquery(opened), Value(_NONE_OPEN))
