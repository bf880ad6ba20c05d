"""Uploads a file with an upload intent, in constant memory: declares its size and checksum, and sends its bytes."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO, Any

import httpx

from evermuse.client.errors import ApiError

PART_BYTES = 256 * 1024
TIMEOUT = httpx.Timeout(300.0, connect=10.0)


def declare(path: Path, mime_type: str | None) -> dict[str, Any]:
    """The properties that the server checks the upload against: name, size in bytes, and SHA-1."""
    digest = hashlib.sha1(usedforsecurity=False)
    size = 0
    with path.open("rb") as file:
        for part in parts(file):
            digest.update(part)
            size += len(part)
    return {"filename": path.name, "mimeType": mime_type, "size": size, "sha1": digest.hexdigest()}


def parts(file: IO[bytes]) -> Iterator[bytes]:
    """The bytes of an open file."""
    while part := file.read(PART_BYTES):
        yield part


async def parts_async(file: IO[bytes]) -> AsyncIterator[bytes]:
    """Like `parts`. Reads from disk are short enough to be done in the event loop."""
    while part := file.read(PART_BYTES):
        yield part


def raise_unless_stored(response: httpx.Response) -> None:
    """Raise ApiError unless the object store stored the file. Its answers are XML, so only the status is used."""
    if not response.is_success:
        message = f"the object store refused the upload with HTTP {response.status_code}"
        raise ApiError("UPLOAD_REFUSED", message, status=response.status_code)
