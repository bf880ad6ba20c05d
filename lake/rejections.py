"""Rejected records: all their errors, and the bytes that were sent.

They are written once, when a batch is accepted. Landing writes only records whose verdict has changed since.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from evermuse import prepared
from evermuse.binary_arrays import byteas, int4s
from lake.landing import Rejected, Verdict
from lake.models import RejectedRecord

# The bytes that one statement inserts. A single record may be larger.
PART_BYTES = 1024 * 1024

STORE = """
INSERT INTO lake_rejectedrecord (batch_id, index, errors, payload, is_json, awaits_collection)
SELECT %s::bigint, r.index, convert_from(r.errors, 'UTF8'), r.payload, r.is_json, %s::boolean
FROM unnest(%b::integer[], %b::bytea[], %b::bytea[], %s::boolean[]) AS r (index, errors, payload, is_json)
RETURNING index
"""

# Index, errors as JSON text, and whether the record is JSON.
_Key = tuple[int, str, bool]


def store(verdicts: Mapping[int, Verdict], *, is_final: bool) -> None:
    """Insert the rejected records of these batches (by id), inside the caller's transaction.

    ``is_final``: False if the worker's verdict is still to come. Until it comes, the problem inbox does not count them.
    """
    for batch_id, verdict in verdicts.items():
        for part in _parts(verdict.rejected):
            values = [
                batch_id,
                is_final,
                int4s([record.index for record, _ in part]),
                byteas([errors for _, errors in part]),
                byteas([record.raw for record, _ in part]),
                [record.is_json for record, _ in part],
            ]
            prepared.rows(STORE, values)


def _parts(rejected: Sequence[Rejected]) -> Iterator[list[tuple[Rejected, bytes]]]:
    """Records with their errors as JSON, about PART_BYTES at a time. A whole batch could take ten times the bytes of its body."""
    part: list[tuple[Rejected, bytes]] = []
    size = 0
    for record in rejected:
        errors = msgspec.json.encode(record.errors)
        if part and size + len(errors) + len(record.raw) > PART_BYTES:
            yield part
            part, size = [], 0
        part.append((record, errors))
        size += len(errors) + len(record.raw)
    if part:
        yield part


def finalize(verdicts: Mapping[int, Verdict]) -> None:
    """Make the worker's verdicts on these batches (by id) final, inside the caller's transaction. Idempotent."""
    stored: dict[int, list[_Key]] = {}
    rows = RejectedRecord.objects.filter(batch_id__in=list(verdicts)).order_by("batch_id", "index")
    for batch_id, index, errors, is_json in rows.values_list("batch_id", "index", "errors", "is_json"):
        stored.setdefault(batch_id, []).append((index, errors, is_json))
    changed = {
        batch_id: verdict
        for batch_id, verdict in verdicts.items()
        if stored.get(batch_id, []) != [(record.index, _errors(record), record.is_json) for record in verdict.rejected]
    }
    if same := sorted(stored.keys() - changed.keys()):
        RejectedRecord.objects.filter(batch_id__in=same).update(awaits_collection=True)
    if changed:
        RejectedRecord.objects.filter(batch_id__in=list(changed)).delete()
        store(changed, is_final=True)


def _errors(record: Rejected) -> str:
    return msgspec.json.encode(record.errors).decode()
