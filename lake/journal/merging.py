"""Merges the objects of a journal of a closed date into one, so that the number of objects grows with days and not with minutes.

Each object is a complete zstd frame, and a sequence of frames is a valid zstd file, so the bytes are copied unchanged.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

from lake import object_store
from lake.journal import writing
from lake.models import Segment
from lake.parted_upload import PartedUpload
from lake.segments.merging import Merged, SourceDamaged
from lake.segments.registry import Draft, Partition
from lake.segments.sources import READ_BYTES, Source

TARGET_BYTES = 128 * 1024 * 1024
# A source with the row of its object.
Part = tuple[Source, Segment]


def is_journal(source: str) -> bool:
    """Whether a group of segments is a part of a journal, by the name of its source."""
    return source == writing.SOURCE


def successive(parts: Sequence[Part]) -> list[Part]:
    """The first objects with successive numbers, as many as fill one object. Empty if no two objects are successive.

    An object with a gap in its numbers would break the order of the objects.
    """
    ordered = sorted(parts, key=lambda part: writing.numbers_of(part[0].key))
    runs: list[list[Part]] = [ordered[:1]]
    for before, after in pairwise(ordered):
        follows = writing.numbers_of(after[0].key)[0] == writing.numbers_of(before[0].key)[1] + 1
        if follows and sum(source.size for source, _ in runs[-1]) < TARGET_BYTES:
            runs[-1].append(after)
        else:
            runs.append([after])
    return next((run for run in runs if len(run) > 1), [])


def draft(partition: Partition, parts: Sequence[Part]) -> Draft:
    """The object to merge these into."""
    first, last = writing.numbers_of(parts[0][0].key)[0], writing.numbers_of(parts[-1][0].key)[1]
    key = writing.key_of(partition.workspace, first, last)
    return Draft(partition, key, b"", {}, last - first + 1, layout=Segment.Layout.JOURNAL)


def merge(parts: Sequence[Part], upload: PartedUpload, keep_claims: Callable[[], None]) -> list[Merged]:
    """Write all objects. The caller completes the upload. Raises StoreUnavailable, SourceDamaged."""
    for source, _ in parts:
        for start in range(0, source.size, READ_BYTES):
            keep_claims()
            length = min(READ_BYTES, source.size - start)
            content = object_store.get_range(source.key, start, length)
            if content is None or len(content) != length:
                raise SourceDamaged(source.id, "an object of the journal is not what was stored")
            upload.write(content)
    return [Merged(source, [], []) for source, _ in parts]
