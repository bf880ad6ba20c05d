"""The built-in processor: a batch is settled when every download of it is."""

from collections.abc import Sequence

from django.conf import settings

from attachments.models import AttachmentTally
from attachments.queue import claims
from evermuse import wake


class AttachmentDownloads:
    """Wakes the download workers; see `lake.processors.Processor`."""

    name = "attachments"

    def start(self, batch_ids: Sequence[int]) -> None:
        """Have the downloads begin; registration made their rows when the batch landed."""
        if AttachmentTally.objects.filter(batch_id__in=batch_ids).exists():
            at_most = settings.EVERMUSE_ATTACHMENT_CONCURRENCY
            wake.downloads(claims.due(at_most), at_most=at_most)

    def settled(self, batch_ids: Sequence[int]) -> set[int]:
        """Batches without downloads, or with all of them COMPLETE or FAILED."""
        found = AttachmentTally.objects.in_bulk(list(batch_ids))
        return {batch_id for batch_id in batch_ids if batch_id not in found or found[batch_id].is_settled}
