"""Rejected records: all their errors, and the bytes that were sent.

Written once, when a batch is accepted. Landing writes only where its verdict differs, because the rules have changed since.
"""

from collections.abc import Mapping

import msgspec

from lake.landing import Rejected, Verdict
from lake.models import RejectedRecord

# Index, errors as JSON text, and whether the record is JSON.
_Key = tuple[int, str, bool]


def store(verdicts: Mapping[int, Verdict], *, is_final: bool) -> None:
    """Insert the rejected records of these batches (by id), inside the caller's transaction.

    ``is_final``: False if the worker's verdict is still to come. Until it comes, the problem inbox does not count them.
    """
    RejectedRecord.objects.bulk_create(
        [
            RejectedRecord(
                batch_id=batch_id,
                index=record.index,
                errors=_errors(record),
                payload=record.raw,
                is_json=record.is_json,
                awaits_collection=is_final,
            )
            for batch_id, verdict in verdicts.items()
            for record in verdict.rejected
        ],
        batch_size=1000,
    )


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
