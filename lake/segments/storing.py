"""Writes segments to the bucket. Commits their keys first, then writes several objects at a time."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings

from evermuse.errors import StoreUnavailable
from lake import object_store
from lake.segments import registry
from lake.segments.registry import Draft, Partition
from lake.segments.writer import Line

_uploads = ThreadPoolExecutor(16, thread_name_prefix="segment")


def store(parts: Mapping[Partition, Sequence[Line]]) -> dict[Partition, Draft | StoreUnavailable]:
    """Write a segment for each partition. Returns the unpublished segment, or the error of the store."""
    drafts = [registry.draft(partition, lines) for partition, lines in parts.items()]
    if not drafts:
        return {}
    registry.intend(drafts)
    # A write that began later could end after the sweeper has abandoned the segment.
    ends_at = time.monotonic() + settings.EVERMUSE_LEASE_SECONDS
    if len(drafts) == 1:
        return {drafts[0].partition: put(drafts[0], ends_at)}
    writing = [(draft.partition, _uploads.submit(put, draft, ends_at)) for draft in drafts]
    return {partition: upload.result() for partition, upload in writing}


def put(draft: Draft, ends_at: float) -> Draft | StoreUnavailable:
    """Write an intended object, if it can begin before ``ends_at`` (of `time.monotonic`); the draft, or what failed."""
    if time.monotonic() >= ends_at:
        return StoreUnavailable("it was too slow for the lease")
    try:
        object_store.put(draft.key, draft.content, "application/zstd")
    except StoreUnavailable as error:
        return error
    return draft
