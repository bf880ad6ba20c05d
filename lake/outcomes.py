"""What became of each record of a batch, and the object that holds the accepted ones."""

from collections.abc import Mapping, Sequence

from django.utils import timezone

from lake.archive import Archive
from lake.index import REJECTED, IndexedBatch
from lake.landing import Verdict
from lake.models import ArchivedObject, BatchOutcomes

NO_RECORD = bytes(16)
NAMES = {"c": "created", "u": "updated", "i": "identical", "s": "superseded", "r": "rejected"}


def store(indexed: Sequence[IndexedBatch], verdicts: Mapping[int, Verdict]) -> None:
    """Write the outcomes of landed batches, inside the caller's transaction; a retried batch's are replaced."""
    BatchOutcomes.objects.bulk_create(
        [_row(batch, verdicts[batch.sequence]) for batch in indexed],
        update_conflicts=True,
        unique_fields=["batch"],
        update_fields=["letters", "record_ids"],
    )


def _row(batch: IndexedBatch, verdict: Verdict) -> BatchOutcomes:
    letters = [REJECTED] * verdict.record_count
    ids = [NO_RECORD] * verdict.record_count
    for record in batch.records:
        letters[record.index] = batch.outcomes[record.index]
        ids[record.index] = record.key
    return BatchOutcomes(batch_id=batch.sequence, letters="".join(letters), record_ids=b"".join(ids))


def note_archives(archives: Mapping[int, Archive | None]) -> None:
    """Write the rows that point to the archive objects, inside the caller's transaction."""
    now = timezone.now()
    ArchivedObject.objects.bulk_create(
        [
            ArchivedObject(
                batch_id=batch_id,
                uri=archive.uri,
                record_count=archive.record_count,
                size=archive.size,
                sha256=archive.sha256,
                created_at=now,
            )
            for batch_id, archive in archives.items()
            if archive is not None
        ],
        update_conflicts=True,
        unique_fields=["batch"],
        update_fields=["uri", "record_count", "size", "sha256", "created_at"],
    )
