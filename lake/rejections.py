"""Rejected records: kept with all their errors and the bytes that were sent."""

from collections.abc import Mapping

import msgspec

from lake.landing import Verdict
from lake.models import RejectedRecord


def store(verdicts: Mapping[int, Verdict], *, is_final: bool = True) -> None:
    """Replace what is kept for these batches (by id), inside the caller's transaction.

    ``is_final``: False where the worker's verdict is yet to come, so that nobody counts these twice.
    """
    RejectedRecord.objects.filter(batch_id__in=list(verdicts)).delete()
    RejectedRecord.objects.bulk_create(
        [
            RejectedRecord(
                batch_id=batch_id,
                index=record.index,
                errors=msgspec.json.encode(record.errors).decode(),
                payload=record.raw,
                is_json=record.is_json,
                awaits_collection=is_final,
            )
            for batch_id, verdict in verdicts.items()
            for record in verdict.rejected
        ],
        batch_size=1000,
    )
