"""Writes an object in constant memory: a small one in one request, a large one in parts of 8 MiB.

Hashes are computed while the file streams. The object exists only once it is complete.
"""

import contextlib
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

from django.conf import settings
from minio.datatypes import Part

from attachments.fetch import store
from attachments.fetch.measure import Checksums, Measure
from lake import object_store

PART_BYTES = 8 * 1024 * 1024
# Parts of one download that are sent while the next one fills.
PARTS_IN_FLIGHT = 2


@cache
def _parts() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(4, settings.EVERMUSE_ATTACHMENT_CONCURRENCY), thread_name_prefix="parts")


class Upload:
    """Writes one object and measures it. Use it as a context manager: an upload that is not completed is aborted.

    Memory: at most ``PART_BYTES`` × (1 + ``PARTS_IN_FLIGHT``). ``size``: bytes written. Raises StoreUnavailable.
    """

    def __init__(self, key: str, mime_type: str) -> None:
        self.key, self.mime_type = key, mime_type
        self.size = 0
        self.upload_id = ""
        self.is_stored = False
        self._buffer = bytearray()
        self._measure = Measure()
        self._checksums: Checksums | None = None
        self._number = 0
        self._sending: list[Future[Part]] = []
        self._sent: list[Part] = []

    def __enter__(self) -> "Upload":
        return self

    def __exit__(self, *_: object) -> None:
        if not self.is_stored:
            self.abandon()

    def write(self, chunk: bytes) -> None:
        """Add a chunk. A full part is sent and hashed while the next one fills."""
        self.size += len(chunk)
        if len(self._buffer) + len(chunk) < PART_BYTES:
            self._buffer += chunk
            return
        left = memoryview(chunk)
        while left:
            taken = left[: PART_BYTES - len(self._buffer)]
            self._buffer += taken
            left = left[len(taken) :]
            if len(self._buffer) == PART_BYTES:
                # Send the buffer itself, so that its bytes are not copied.
                part, self._buffer = self._buffer, bytearray()
                self._send(part)

    def end(self) -> Checksums:
        """Return the checksums of everything written. Nothing may be written after it."""
        if self._checksums is None:
            self._checksums = self._measure.end(self._buffer)
        return self._checksums

    def complete(self) -> str:
        """Complete the object and return its URI."""
        checksums = self.end()
        with store.errors():
            if not self.upload_id:
                store.client().put_known(
                    settings.MINIO_BUCKET, self.key, self._buffer, mime_type=self.mime_type, sha256=checksums.sha256
                )
            else:
                if self._buffer:
                    self._put_later(self._buffer)
                self._wait(0)
                store.client().complete_upload(settings.MINIO_BUCKET, self.key, self.upload_id, self._sent)
        self._buffer = bytearray()
        self.is_stored = True
        return object_store.uri(self.key)

    def abandon(self) -> None:
        """Remove what was sent. If the store cannot do it now, the sweeper does it later."""
        for sending in self._sending:
            sending.cancel()
        for sending in self._sending:
            with contextlib.suppress(Exception):
                sending.result()
        self._sending.clear()
        self._buffer = bytearray()
        if self.upload_id:
            with contextlib.suppress(*object_store.FAULTS):
                store.client().abort_upload(settings.MINIO_BUCKET, self.key, self.upload_id)
                self.upload_id = ""

    def _send(self, part: bytearray) -> None:
        with store.errors():
            if not self.upload_id:
                self.upload_id = store.client().begin_upload(settings.MINIO_BUCKET, self.key, self.mime_type)
            self._measure.add(part)
            self._put_later(part)

    def _put_later(self, part: bytearray) -> None:
        self._wait(PARTS_IN_FLIGHT - 1)
        self._number += 1
        self._sending.append(_parts().submit(self._put, part, self._number))

    def _wait(self, allowed: int) -> None:
        while len(self._sending) > allowed:
            self._sent.append(self._sending.pop(0).result())

    def _put(self, part: bytearray, number: int) -> Part:
        return store.client().put_part(settings.MINIO_BUCKET, self.key, self.upload_id, number, part)
