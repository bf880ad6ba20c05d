"""The bodies of answers, with exactly the fields of the contract."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from attachments.models import AttachmentTally
from attachments.selectors import tallies
from evermuse.instants import milliseconds
from ingest.models import Batch


def statuses(batches: Sequence[Batch]) -> list[dict[str, Any]]:
    """The status objects of batches. One query reads the attachment counters of all of them."""
    found: Mapping[int, AttachmentTally] = tallies([batch.id for batch in batches])
    return [status(batch, found.get(batch.id)) for batch in batches]


def status(batch: Batch, tally: AttachmentTally | None) -> dict[str, Any]:
    """The status object of a batch."""
    answer: dict[str, Any] = {
        "batchId": batch.public_id,
        "status": batch.status,
        "createdAt": milliseconds(batch.created_at),
        "acceptedCount": batch.accepted_count,
        "rejectedCount": batch.rejected_count,
        "totalErrorCount": batch.error_count,
        "errors": json.loads(batch.first_errors),
        "source": batch.source,
        "type": batch.type,
    }
    if tally is not None and tally.total:
        answer |= {
            "attachmentDownloadTotal": tally.total,
            "attachmentDownloadComplete": tally.complete,
            "attachmentDownloadFailed": tally.failed,
            "attachmentDownloadStatus": tally.status,
        }
    return answer
