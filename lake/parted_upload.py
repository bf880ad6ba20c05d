"""Writes one large object in parts, so that memory holds only one part."""

import contextlib

from django.conf import settings
from minio.datatypes import Part

from lake import object_store

PART_BYTES = 8 * 1024 * 1024


class PartedUpload:
    """Writes an object. Use it as a context manager: an upload that is not completed is aborted. Raises
    StoreUnavailable.

    If the process dies, the upload stays in the store until `object_store.abort_uploads` is called for its key.
    """

    def __init__(self, key: str, content_type: str) -> None:
        self._key, self._content_type = key, content_type
        self._buffer = bytearray()
        self._upload_id = ""
        self._parts: list[Part] = []
        self._is_complete = False
        self.size = 0

    def __enter__(self) -> "PartedUpload":
        return self

    def __exit__(self, *_: object) -> None:
        if self._upload_id and not self._is_complete:
            with contextlib.suppress(*object_store.FAULTS):
                object_store.client().abort_upload(settings.MINIO_BUCKET, self._key, self._upload_id)

    def write(self, content: bytes) -> None:
        """Append bytes. ``size`` counts them."""
        self.size += len(content)
        self._buffer += content
        while len(self._buffer) >= PART_BYTES:
            part = bytes(self._buffer[:PART_BYTES])
            del self._buffer[:PART_BYTES]
            self._send(part)

    def complete(self) -> None:
        """Complete the object."""
        if not self._upload_id:
            object_store.put(self._key, bytes(self._buffer), self._content_type)
        else:
            if self._buffer:
                self._send(bytes(self._buffer))
            try:
                object_store.client().complete_upload(settings.MINIO_BUCKET, self._key, self._upload_id, self._parts)
            except object_store.FAULTS as error:
                raise object_store.unavailable(error) from None
        self._is_complete = True
        self._buffer.clear()

    def _send(self, part: bytes) -> None:
        client, bucket = object_store.client(), settings.MINIO_BUCKET
        number = len(self._parts) + 1
        try:
            if not self._upload_id:
                self._upload_id = client.begin_upload(bucket, self._key, self._content_type)
            self._parts.append(client.put_part(bucket, self._key, self._upload_id, number, part))
        except object_store.FAULTS as error:
            raise object_store.unavailable(error) from None
