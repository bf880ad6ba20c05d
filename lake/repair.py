"""Repair: restores rows of the index for the batch that wrote them, without breaking "last accepted wins".

A row is restored if it is missing and no later version is known, or if the batch's own row differs. Rows of other batches,
counts and outcomes do not change. A restored row counts as changed, so that incremental readers get it again.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import psycopg

from evermuse.raw_connection import raw_connection
from lake import index_layout, index_statements
from lake.index import CREATED, UPDATED, IndexedBatch, of_batches, of_rows, with_terms

# Takes batch ids and returns when these batches were accepted. Batches belong to a layer above this one.
AcceptedAt = Callable[[Sequence[int]], Mapping[int, datetime]]

EARLIER_WRITERS = "SELECT DISTINCT batch_id FROM lake_recordversion WHERE record_id = ANY(%(id)b::uuid[])"

# A version number that was lost with its row is computed from the earlier versions.
REPAIR, WIDE_REPAIR = index_statements.repair(index_statements.COMPACT), index_statements.repair(index_statements.WIDE)


def restore(batch: IndexedBatch, letters: str, accepted_at: AcceptedAt) -> int:
    """Restore missing or damaged rows in the caller's transaction. Returns the number of rows written. Idempotent.

    ``letters``: the outcomes of the batch's landing. Only records that it created or updated are restored.
    """
    last = {record.key: record for record in batch.records if letters[record.index] in (CREATED, UPDATED)}
    if not last:
        return 0
    is_compact = index_layout.is_compact()
    rows = with_terms([batch], [(1, last[key]) for key in sorted(last)], may_add_sets=False, in_columns=is_compact)
    with raw_connection() as raw, psycopg.Cursor(raw) as cursor:
        values = {**of_batches([batch]), **of_rows(rows)}
        written_at = accepted_at([batch_id for (batch_id,) in cursor.execute(EARLIER_WRITERS, values)])
        values |= {"writer": list(written_at), "written_at": list(written_at.values())}
        cursor.execute(REPAIR if is_compact else WIDE_REPAIR, values)
        return cursor.rowcount
