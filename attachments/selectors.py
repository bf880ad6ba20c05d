"""Reads of attachments."""

from collections.abc import Mapping, Sequence

from attachments.models import AttachmentTally


def tallies(batch_ids: Sequence[int]) -> Mapping[int, AttachmentTally]:
    """The counters of the batches that have files to download, by batch id."""
    return AttachmentTally.objects.in_bulk(list(batch_ids))
