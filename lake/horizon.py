"""The horizon: up to where a workspace's lists of records are final.

Readers go on from the greatest ``updated_at`` that they have seen, so no row may appear below a row that was shown. A
landing commits long after its instant was drawn, and another one that began later may commit before it. Therefore:

1. A claim draws its instant from the workspace's clock (`ChangeClock`) and commits it as an `OpenLanding` before the landing
   transaction begins. The lock on the clock's row is held until that commit: whoever draws a later instant, and whoever
   sees what was written at it, sees the open landing too. The instants of a workspace only grow, whatever the clock of the
   machine does.
2. All rows that the landing writes get this instant as ``updated_at``.
3. Lists show rows below the earliest open landing of their workspace; while none is open, rows up to the clock's instant.
   Both are read at once, before the rows: what is not open by then and has not landed gets a later instant.
4. The open landing ends in the transaction that makes its commit impossible or is that commit: the batch has landed, was
   given back, was claimed anew under another fencing token, or was given up.

A landing that a snapshot does not show has an instant after everything that the snapshot shows. No row's visibility depends
on other workspaces or on other sessions' snapshots.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

from django.db.models import Subquery, Value
from django.db.models.functions import Coalesce, Now

from evermuse import prepared
from lake.models import OpenLanding

# Whole milliseconds, as the API shows them: a reader that asks since the last one it saw gets one landing again, not all of
# a second. The lock is held until the caller's transaction ends.
_DRAW = """
  INSERT INTO lake_changeclock AS c (workspace_id, at)
  VALUES (%(workspace)s::bigint, date_trunc('milliseconds', clock_timestamp()))
  ON CONFLICT (workspace_id) DO UPDATE SET at = greatest(EXCLUDED.at, c.at + interval '1 ms')
  RETURNING at
"""
# Batches that an earlier claim did not give back leave its landing: their tokens have changed in this transaction.
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
# After `_TAKE`, as a statement of its own: it sees what another transaction took from the same landing meanwhile.
FORGET_EMPTY = """
DELETE FROM lake_openlanding WHERE workspace_id = %(workspace)s::bigint AND batch_ids = '{}' RETURNING at
"""
# What nearly every landing needs: all of its batches end together.
END_WHOLE = """
DELETE FROM lake_openlanding WHERE workspace_id = %(workspace)s::bigint AND at = %(at)s::timestamptz
  AND batch_ids <@ %(batches)s::bigint[]
RETURNING at
"""
END_PART = f"{_TAKE.replace('RETURNING', 'AND at = %(at)s::timestamptz RETURNING')}"

# One statement, so one snapshot of both.
READ = """
SELECT (SELECT min(at) FROM lake_openlanding WHERE workspace_id = %(workspace)s::bigint),
  (SELECT at FROM lake_changeclock WHERE workspace_id = %(workspace)s::bigint)
"""

# As many old landings are looked at in one round.
MOST_LOOKED_AT = 1000
_NONE_OPEN = datetime(9999, 12, 31, tzinfo=UTC)


def begin(workspace_id: int, batch_ids: Sequence[int]) -> datetime:
    """Open a landing in the transaction that claims its batches, and give its instant. Earlier claims lose them."""
    [(at, taken)] = prepared.rows(OPEN, {"workspace": workspace_id, "batches": list(batch_ids)})
    if taken:
        prepared.rows(FORGET_EMPTY, {"workspace": workspace_id})
    return cast(datetime, at)


def claimed_several(workspace_id: int, *, within: float) -> bool:
    """Whether the workspace's last claim held more than one batch, and is no older than this, in seconds."""
    found = prepared.rows(CLAIMED_SEVERAL, [within, within, workspace_id])
    return bool(found and found[0][0])


def end(workspace_id: int, at: datetime, batch_ids: Sequence[int]) -> None:
    """Batches leave the landing of this instant, in the transaction that lands them or gives them back."""
    parameters = {"workspace": workspace_id, "batches": list(batch_ids), "at": at}
    if not prepared.rows(END_WHOLE, parameters) and prepared.rows(END_PART, parameters):
        prepared.rows(FORGET_EMPTY, parameters)


def abandon(workspace_id: int, batch_ids: Sequence[int]) -> None:
    """Batches leave whatever landing they are in, in the transaction that moves their fence and claims nothing."""
    parameters = {"workspace": workspace_id, "batches": list(batch_ids)}
    if prepared.rows(_TAKE, parameters):
        prepared.rows(FORGET_EMPTY, parameters)


def opened_before(*, seconds: float) -> list[OpenLanding]:
    """Landings that were opened longer ago than this, the earliest ones first."""
    old = OpenLanding.objects.filter(at__lt=Now() - timedelta(seconds=seconds))
    return list(old.order_by("at")[:MOST_LOOKED_AT])


def draw(workspace_id: int) -> datetime:
    """An instant for rows that the caller's transaction writes without an open landing.

    Claims of the workspace wait until that transaction ends: keep it short.
    """
    [(at,)] = prepared.rows(_DRAW, {"workspace": workspace_id})
    return cast(datetime, at)


def of(workspace_id: int) -> datetime | Coalesce:
    """Rows with an ``updated_at`` below it are final. To be asked before the statement that reads them, and for each anew.

    An instant, so that PostgreSQL plans with it: of an upper bound that it does not know it expects nearly nothing to be
    below, and walks through all changes instead of using the index of terms.
    """
    [(first_open, last)] = prepared.rows(READ, {"workspace": workspace_id})
    if first_open is not None:
        return cast(datetime, first_open)
    if last is not None:
        # Everything up to the last instant has landed, or never will.
        return cast(datetime, last) + timedelta(milliseconds=1)
    # The first landing may begin at any moment: its own row says so, in the reading statement's snapshot.
    opened = OpenLanding.objects.filter(workspace_id=workspace_id).order_by("at").values("at")[:1]
    return Coalesce(Subquery(opened), Value(_NONE_OPEN))
