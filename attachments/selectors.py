"""Reads of attachments."""

from collections.abc import Mapping, Sequence

from attachments.models import AttachmentTally


def tallies(batch_ids: Sequence[int]) -> Mapping[int, AttachmentTally]:
    """The counters of those batches that have attachments to download."""
    return AttachmentTally.objects.in_bulk(list(batch_ids))
