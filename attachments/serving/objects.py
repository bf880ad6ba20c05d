"""Reads stored objects in pieces, one request for each, so that a paused client holds no connection to the store."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from django.conf import settings
from minio import Minio
from minio.error import S3Error

from evermuse.errors import StoreUnavailable
from lake import object_store

# The bytes that are read at once, and held in memory for each download.
PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Found:
    """An object. ``size``: bytes; ``etag``: quoted, as in headers; ``modified``: Unix time."""

    size: int
    etag: str | None
    modified: int | None


@cache
def _client() -> Minio:
    return object_store.new_client(connections=8)


def find(key: str) -> Found | None:
    """Look up an object. Returns None if there is no such object. Raises StoreUnavailable."""
    try:
        stat = _client().stat_object(settings.MINIO_BUCKET, key)
    except object_store.FAULTS as error:
        if isinstance(error, S3Error) and error.code in {"NoSuchKey", "ResourceNotFound"}:
            return None
        raise object_store.unavailable(error) from None
    modified = None if stat.last_modified is None else int(stat.last_modified.timestamp())
    return Found(stat.size or 0, f'"{stat.etag}"' if stat.etag else None, modified)


def pieces(key: str, first: int, last: int) -> Iterator[bytes]:
    """Yield the stored bytes from ``first`` to ``last``. Raises StoreUnavailable, also if the object is shorter."""
    while first <= last:
        piece = _read(key, first, min(PIECE_BYTES, last - first + 1))
        first += len(piece)
        yield piece


def _read(key: str, offset: int, size: int) -> bytes:
    try:
        answer = _client().get_object(settings.MINIO_BUCKET, key, offset=offset, length=size)
        try:
            # Do not decode: a file may be stored with a Content-Encoding.
            content = answer.read(decode_content=False)
        finally:
            answer.close()
            answer.release_conn()
    except object_store.FAULTS as error:
        raise object_store.unavailable(error) from None
    if len(content) != size:
        raise StoreUnavailable(f"it returned {len(content)} of {size} bytes")
    return bytes(content)
