"""Writes the outcome of each record of a batch, and the object that holds its accepted records."""

from collections.abc import Mapping, Sequence

from evermuse import prepared
from evermuse.binary_arrays import byteas, int8s
from lake.index import REJECTED, IndexedBatch
from lake.landing import Verdict

NO_RECORD = bytes(16)
NAMES = {"c": "created", "u": "updated", "i": "identical", "s": "superseded", "r": "rejected"}

# Replaced if the batch lands again.
STORE = """
INSERT INTO lake_batchoutcomes (batch_id, letters, record_ids) SELECT * FROM unnest(%b::bigint[], %s::text[], %b::bytea[])
ON CONFLICT (batch_id) DO UPDATE SET letters = EXCLUDED.letters, record_ids = EXCLUDED.record_ids
RETURNING batch_id
"""


def store(indexed: Sequence[IndexedBatch], verdicts: Mapping[int, Verdict]) -> None:
    """Write the outcomes of landed batches in the caller's transaction. Those of a retried batch are replaced."""
    columns = [_outcomes(batch, verdicts[batch.sequence]) for batch in indexed]
    letters, record_ids = [text for text, _ in columns], [ids for _, ids in columns]
    prepared.rows(STORE, [int8s([batch.sequence for batch in indexed]), letters, byteas(record_ids)])


def _outcomes(batch: IndexedBatch, verdict: Verdict) -> tuple[str, bytes]:
    letters = [REJECTED] * verdict.record_count
    ids = [NO_RECORD] * verdict.record_count
    for record in batch.records:
        letters[record.index] = batch.outcomes[record.index]
        ids[record.index] = record.key
    return "".join(letters), b"".join(ids)
