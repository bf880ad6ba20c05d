"""Transitions: the states of a batch after landing (`ingest.models.Batch`).

Each is a conditional UPDATE in `ingest.sql`, and each caller learns which rows changed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import F

from evermuse import logs, prepared, public_ids
from evermuse.named_rows import expect_count
from ingest import sql
from ingest.failure_codes import BatchFailure
from ingest.models import Batch
from ingest.pipeline import claims
from ingest.pipeline.claims import BatchId, Claim
from lake.landing import Verdict
from lake.models import Payload

log = logs.get(__name__)

Status = Batch.Status


@dataclass(frozen=True, slots=True)
class LandedCounts:
    """The worker's verdict on a batch, written with its new state."""

    claim: Claim
    status: str
    verdict: Verdict
    failure: BatchFailure | None = None


def mark_landed(counts: Sequence[LandedCounts]) -> None:
    """LANDING → LANDED or FAILED with the worker's counts, for batches that `claims.hold` has locked."""
    verdicts = [c.verdict for c in counts]
    changed = prepared.rows_of(
        BatchId,
        sql.LANDED,
        {
            "ids": [c.claim.batch_id for c in counts],
            "tokens": [c.claim.token for c in counts],
            "statuses": [c.status for c in counts],
            "types": [verdict.type for verdict in verdicts],
            "accepted": [len(verdict.accepted) for verdict in verdicts],
            "rejected": [len(verdict.rejected) for verdict in verdicts],
            "errors": [verdict.error_count for verdict in verdicts],
            "first_errors": [json.dumps(verdict.first_errors()) for verdict in verdicts],
            "failures": [c.failure.text if c.failure else "" for c in counts],
            "failure_codes": [c.failure.code if c.failure else None for c in counts],
        },
    )
    expect_count("mark landed", changed=len(changed), expected=len(counts))
    claims.end_landing([c.claim for c in counts])


def mark_processing(batch_ids: Sequence[int]) -> list[int]:
    """LANDED → PROCESSING. Returns the batches that are PROCESSING now, in order, including those that another worker moved."""
    rows = prepared.rows_of(BatchId, sql.PROCESSING, {"ids": list(batch_ids)})
    return sorted(row.id for row in rows)


def mark_complete(batch_ids: Sequence[int]) -> list[int]:
    """PROCESSING → COMPLETE. Returns the batches that changed, in order."""
    rows = prepared.rows_of(BatchId, sql.COMPLETE, {"ids": list(batch_ids)})
    return sorted(row.id for row in rows)


def reopen(batch_id: int) -> bool:
    """FAILED → LANDING, for a retry that somebody asked for.

    Returns False if the batch is in another state, or if its payload has expired and nothing can be landed again.
    """
    with transaction.atomic():
        # Retention locks the batch too while it removes the payload.
        locked = Batch.objects.select_for_update(no_key=True).filter(id=batch_id, status=Status.FAILED)
        if not locked.exists() or not Payload.objects.filter(batch_id=batch_id).exists():
            return False
        _open_again(batch_id)
    log.info("batch.reopened", batch_id=public_ids.of_batch(batch_id))
    return True


def _open_again(batch_id: int) -> None:
    Batch.objects.filter(id=batch_id).update(
        status=Status.LANDING,
        claim_token=F("claim_token") + 1,
        claimed_until=None,
        not_before=None,
        crashes=0,
        lone_crashes=0,
        failure="",
        failure_code=None,
        completed_at=None,
    )


def add_failure_codes(limit: int = 1000) -> int:
    """Add the code to failures that a version without codes wrote. Returns how many it found."""
    return len(prepared.rows_of(BatchId, sql.ADD_FAILURE_CODES, {"limit": limit}))
