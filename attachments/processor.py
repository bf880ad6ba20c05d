"""The built-in processor: downloads the attachments of a batch. It is settled when every file is stored or has failed."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings

from attachments.models import AttachmentTally
from attachments.queue import claims, registration
from attachments.queue.registration import Registration
from evermuse import wake
from lake.processors import BatchRecord, LandingBatch, Processor, WakeUp


class AttachmentDownloads(Processor):
    """Registers files when a batch lands, and wakes the download workers."""

    name = "attachments"
    task = wake.DOWNLOAD
    # The contract promises that a landed batch lists its files at once.
    must_prepare = True

    def prepare(self, batches: Sequence[LandingBatch]) -> None:
        """Insert the rows and counters of the files."""
        registration.register({batch.id: (batch.workspace_id, list(_files(batch.records))) for batch in batches})

    def start(self, batch_ids: Sequence[int], wake: WakeUp) -> None:
        """Wake as many workers as could find a file."""
        if AttachmentTally.objects.filter(batch_id__in=batch_ids).exists():
            wake(claims.count_due(settings.EVERMUSE_ATTACHMENT_CONCURRENCY))

    def settled(self, batch_ids: Sequence[int]) -> set[int]:
        """The batches whose files are all COMPLETE or FAILED, or that have none."""
        found = AttachmentTally.objects.in_bulk(list(batch_ids))
        return {batch_id for batch_id in batch_ids if batch_id not in found or found[batch_id].is_settled}


def _files(records: Sequence[BatchRecord]) -> Iterator[Registration]:
    for record in records:
        for position, entry in enumerate(record.envelope.attachments or ()):
            yield Registration(
                record_id=record.id,
                event_at=record.envelope.event_at,
                record_index=record.index,
                position=position,
                type=entry.type,
                **{name: _given(getattr(entry, name)) for name in registration.OPTIONAL},
            )


def _given(value: Any) -> Any:
    return value if isinstance(value, str | int) else None
