"""The archive of a batch: its accepted records as lines in the bucket."""

from collections.abc import Sequence
from dataclasses import dataclass

import zstandard

from evermuse.errors import ArchiveDamaged
from lake import object_store
from lake.models import ArchivedObject, Segment, SegmentBatch
from lake.segments import reader

LEVEL = 1
# Far more than an accepted body can grow to.
MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Archive:
    """Where a batch's lines are. ``start``, ``length``: the bytes of the object that hold them, perhaps with other batches' lines.

    ``key`` is empty if compaction has left out all of them, because no version needs them.

    ``is_listed``: False for an object of a version before segments. It holds one batch and has no listing.
    """

    batch_id: int
    key: str
    record_count: int
    start: int
    length: int
    is_listed: bool

    @property
    def uri(self) -> str:
        """The ``storageUri`` of the API. Empty if there are no lines."""
        return object_store.uri(self.key) if self.key else ""


def of(batch_id: int) -> Archive | None:
    """A batch's archive, or None if none of its records has landed."""
    rows = SegmentBatch.objects.filter(batch_id=batch_id)
    found = rows.filter(line_count__gt=0).select_related("segment").first()
    if found is not None:
        is_listed = found.segment.layout == Segment.Layout.LISTED
        return Archive(batch_id, found.segment.key, found.line_count, found.start, found.length, is_listed)
    if rows.filter(line_count=0).exists():
        return Archive(batch_id, "", 0, 0, 0, is_listed=True)
    old = ArchivedObject.objects.filter(batch_id=batch_id).first()
    if old is not None:
        return Archive(batch_id, object_store.key_of(old.uri), old.record_count, 0, old.size, is_listed=False)
    return None


def uris(batch_ids: set[int]) -> dict[int, str]:
    """The storage URI of each batch that has landed."""
    rows = SegmentBatch.objects.filter(batch_id__in=batch_ids).values_list("batch_id", "segment__key")
    found = {batch_id: object_store.uri(key) for batch_id, key in rows}
    if missing := batch_ids - found.keys():
        found.update(ArchivedObject.objects.filter(batch_id__in=missing).values_list("batch_id", "uri"))
    return found


def lines(archive: Archive) -> list[bytes]:
    """The batch's lines. Empty if compaction has removed all of them. Raises StoreUnavailable, ArchiveDamaged."""
    return [line for _, line in _read(archive)]


def by_index(archive: Archive, accepted: Sequence[int]) -> list[tuple[int, bytes]]:
    """The batch's lines, each with the index of its record. Lines that compaction removed are missing.

    ``accepted``: the indexes of all accepted records. Raises StoreUnavailable, ArchiveDamaged.
    """
    found = _read(archive)
    if archive.is_listed:
        return found
    if len(found) != len(accepted):
        raise ArchiveDamaged(f"the object holds {len(found)} records, and {len(accepted)} were accepted")
    return [(index, line) for index, (_, line) in zip(accepted, found, strict=True)]


def _read(archive: Archive) -> list[tuple[int, bytes]]:
    if not archive.record_count:
        return []
    content = object_store.get_range(archive.key, archive.start, archive.length)
    if content is None:
        raise ArchiveDamaged(f"the object store has no {archive.uri}")
    if len(content) != archive.length:
        raise ArchiveDamaged("the object is shorter than what was stored")
    found = _listed(content, archive.batch_id) if archive.is_listed else _plain(content)
    if len(found) != archive.record_count:
        raise ArchiveDamaged(f"the object holds {len(found)} records of the batch, not {archive.record_count}")
    return found


def compressed(archive: Archive) -> bytes:
    """The batch's lines as a separate object: NDJSON, one zstd frame. Raises StoreUnavailable, ArchiveDamaged."""
    return zstandard.ZstdCompressor(level=LEVEL).compress(b"\n".join([*lines(archive), b""]))


def _listed(content: bytes, batch_id: int) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    while content:
        block, content = reader.next_block(content)
        found += block.of_batch(batch_id)
    return found


def _plain(content: bytes) -> list[tuple[int, bytes]]:
    try:
        with zstandard.ZstdDecompressor().stream_reader(content) as stream:
            text = stream.read(MAX_BYTES + 1)
    except zstandard.ZstdError as error:
        raise ArchiveDamaged(f"the object cannot be decompressed: {error}") from None
    if len(text) > MAX_BYTES:
        raise ArchiveDamaged(f"the object holds more than {MAX_BYTES:,} bytes")
    return list(enumerate(text.split(b"\n")[:-1]))
