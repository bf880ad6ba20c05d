"""Rejected records: kept with all their errors and the bytes that were sent."""

import json
from collections.abc import Mapping
from typing import Any

from lake.landing import Rejected, Verdict
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
                errors=json.dumps(_errors(record)),
                payload=record.raw,
                is_json=record.is_json,
                awaits_collection=is_final,
            )
            for batch_id, verdict in verdicts.items()
            for record in verdict.rejected
        ],
        batch_size=1000,
    )


def _errors(record: Rejected) -> list[dict[str, Any]]:
    return [{"code": e.code, "pointer": e.pointer, "message": e.message} for e in record.errors]
