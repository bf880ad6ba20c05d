"""The archive: one NDJSON object per batch, zstd-compressed, under workspace / source / type / date."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import zstandard
from django.utils.crypto import salted_hmac

from evermuse.errors import ArchiveDamaged
from lake import object_store
from lake.landing import LandedRecord
from lake.models import ArchivedObject

LEVEL = 1
# Far more than a body that is accepted can become.
MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Archive:
    """An object that was stored."""

    uri: str
    record_count: int
    size: int
    sha256: str


def key(*, workspace: str, source: str, type: str, accepted_at: datetime, batch: str, sha256: str) -> str:
    """The object's key. It derives from batch and content: a second attempt writes the same object, or another one.

    Its last part is a keyed hash, so that nobody who knows a batch and its content can tell the key.
    """
    part = object_store.partition
    secret = salted_hmac("lake.archive.key", f"{workspace}/{batch}/{sha256}", algorithm="sha256").hexdigest()
    return (
        f"workspace={part(workspace)}/source={part(source)}/type={part(type)}/date={accepted_at:%Y-%m-%d}"
        f"/{batch}-{secret[:16]}.ndjson.zst"
    )


def store(
    records: Sequence[LandedRecord], *, workspace: str, source: str, type: str, accepted_at: datetime, batch: str
) -> Archive:
    """Write the object, every accepted record a line. Idempotent. Raises StoreUnavailable."""
    lines = b"\n".join([*(record.normalized.line for record in records), b""])
    content = zstandard.ZstdCompressor(level=LEVEL).compress(lines)
    sha256 = hashlib.sha256(content).hexdigest()
    name = key(workspace=workspace, source=source, type=type, accepted_at=accepted_at, batch=batch, sha256=sha256)
    uri = object_store.put(name, content, "application/zstd")
    return Archive(uri, len(records), len(content), sha256)


def read(archived: ArchivedObject) -> list[bytes]:
    """The lines of a batch's object, proved to be those that were stored. Raises StoreUnavailable, ArchiveDamaged."""
    content = object_store.get(object_store.key_of(archived.uri), max_bytes=archived.size)
    if content is None:
        raise ArchiveDamaged(f"the object store has no {archived.uri}")
    if len(content) != archived.size or hashlib.sha256(content).hexdigest() != archived.sha256:
        raise ArchiveDamaged("the object's bytes are not those that were stored: size or SHA-256 differ")
    with zstandard.ZstdDecompressor().stream_reader(content) as reader:
        lines = reader.read(MAX_BYTES + 1)
    if len(lines) > MAX_BYTES:
        raise ArchiveDamaged(f"the object holds more than {MAX_BYTES:,} bytes")
    return lines.split(b"\n")[:-1]
