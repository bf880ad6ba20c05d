"""Into the object store, in constant memory: small files in one request, large ones in parts of 8 MiB.

A file goes to a key of its attempt, hashes are taken while it streams, and only what is whole is completed. minio's own
streaming upload leaks threads when parts fail and cannot be recorded or resumed, so parts are sent one by one here.
"""

import contextlib
import itertools
import secrets
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import urllib3
from django.conf import settings
from minio import Minio
from minio.datatypes import Part
from minio.error import S3Error

from attachments.failures import transient
from attachments.fetch.measure import Checksums, Measure
from attachments.fetch.presigned import Signer
from attachments.fetch.served_names import disposition, served_type
from lake import object_store

PART_BYTES = 8 * 1024 * 1024
# Of each download: parts on their way while the next one fills.
PARTS_IN_FLIGHT = 2
READ_BYTES = 256 * 1024
DOWNLOAD_URL_LIFETIME = timedelta(hours=1)


@cache
def _client() -> Minio:
    return object_store.new_client(read=60.0, connections=64)


@cache
def _parts() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(4, settings.EVERMUSE_ATTACHMENT_CONCURRENCY), thread_name_prefix="parts")


@contextlib.contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except object_store.FAULTS as error:
        raise object_store.unavailable(error) from None


# Codes of 4xx answers that say something of the store or of our access to it, not of one object.
_OF_THE_STORE = {
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "RequestTimeTooSkewed", "NoSuchBucket",
    "AllAccessDisabled", "AccountProblem", "SlowDown", "TooManyRequests", "RequestTimeout", "MethodNotAllowed",
}  # fmt: skip


@contextlib.contextmanager
def _reading_errors() -> Iterator[None]:
    """Of reading one object: a store that is away is StoreUnavailable; its answer about the object fails the attempt."""
    try:
        yield
    except object_store.FAULTS as error:
        status = error.response.status if isinstance(error, S3Error) else 0
        if isinstance(error, S3Error) and 400 <= status < 500 and error.code not in _OF_THE_STORE:
            raise transient("STORE_REFUSED", f"the object store does not give the file: HTTP {status}") from None
        if isinstance(error, urllib3.exceptions.DecodeError):
            raise transient("STORE_REFUSED", "the file cannot be read as the object store gives it") from None
        raise object_store.unavailable(error) from None


class Upload:
    """One object on its way, measured as it goes. Use as a context manager: what is not completed is aborted.

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
        """Take a chunk; a full part is sent and hashed while the next one fills."""
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
                # The buffer itself goes on its way, so that its bytes are not copied.
                part, self._buffer = self._buffer, bytearray()
                self._send(part)

    def end(self) -> Checksums:
        """No more is written: the checksums of all of it."""
        if self._checksums is None:
            self._checksums = self._measure.end(self._buffer)
        return self._checksums

    def complete(self) -> str:
        """Make the object whole and give its URI."""
        checksums = self.end()
        with _store_errors():
            if not self.upload_id:
                # The signature covers the content by its SHA-256, which need not be taken twice.
                headers: Any = {"Content-Type": self.mime_type, object_store.CONTENT_SHA256: checksums.sha256}
                _client()._put_object(settings.MINIO_BUCKET, self.key, self._buffer, headers)  # type: ignore[arg-type]
            else:
                if self._buffer:
                    self._put_later(self._buffer)
                self._wait(0)
                _client()._complete_multipart_upload(settings.MINIO_BUCKET, self.key, self.upload_id, self._sent)
        self._buffer = bytearray()
        self.is_stored = True
        return object_store.uri(self.key)

    def abandon(self) -> None:
        """Leave nothing behind. What the store does not take back now, `remove_leftovers` does later."""
        for sending in self._sending:
            sending.cancel()
        for sending in self._sending:
            with contextlib.suppress(Exception):
                sending.result()
        self._sending.clear()
        self._buffer = bytearray()
        if self.upload_id:
            with contextlib.suppress(*object_store.FAULTS):
                _client()._abort_multipart_upload(settings.MINIO_BUCKET, self.key, self.upload_id)
                self.upload_id = ""

    def _send(self, part: bytearray) -> None:
        with _store_errors():
            if not self.upload_id:
                headers: Any = {"Content-Type": self.mime_type}
                self.upload_id = _client()._create_multipart_upload(settings.MINIO_BUCKET, self.key, headers)
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
        bucket, upload_id = settings.MINIO_BUCKET, self.upload_id
        etag = _client()._upload_part(bucket, self.key, part, None, upload_id, number)  # type: ignore[arg-type]
        return Part(number, etag)


def attempt_prefix(*, workspace: str, attachment: str, token: int) -> str:
    """What the keys of one attempt's objects begin with."""
    return f"attachments/workspace={object_store.partition(workspace)}/{attachment}/{token}"


def attempt_key(*, workspace: str, attachment: str, token: int) -> str:
    """A key for one attempt: nobody else writes there, and nobody can guess it."""
    return f"{attempt_prefix(workspace=workspace, attachment=attachment, token=token)}-{secrets.token_hex(8)}"


def attempt_objects(prefix: str) -> list[str]:
    """Keys of the objects that an attempt stored. Earlier versions used the prefix itself. Raises StoreUnavailable."""
    with _store_errors():
        found = _client().list_objects(settings.MINIO_BUCKET, prefix=prefix)
        return [key for one in found if _is_of_attempt(key := str(one.object_name), prefix)]


def _is_of_attempt(key: str, prefix: str) -> bool:
    return key == prefix or key.startswith(f"{prefix}-")


def remove(key: str) -> None:
    """Remove an object, whether or not it is there. Raises StoreUnavailable."""
    with _store_errors():
        _client().remove_object(settings.MINIO_BUCKET, key)


def abort_uploads(prefix: str) -> int:
    """Abort the multipart uploads that an attempt began; their number. Raises StoreUnavailable."""
    with _store_errors():
        found = _client()._list_multipart_uploads(settings.MINIO_BUCKET, prefix=prefix)
        uploads = [one for one in found.uploads if one.upload_id and _is_of_attempt(one.object_name, prefix)]
        for upload in uploads:
            _client()._abort_multipart_upload(settings.MINIO_BUCKET, upload.object_name, str(upload.upload_id))
    return len(uploads)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that is being read. ``size``: bytes; None where the store does not say."""

    size: int | None
    mime_type: str
    chunks: Iterator[bytes]


@contextlib.contextmanager
def reading(key: str) -> Iterator[StoredObject | None]:
    """An object's bytes as a stream, as they were put: no Content-Encoding is decoded. None when there is none.

    Raises StoreUnavailable, and DownloadFailed for the store's answer about this object; also from the chunks.
    """
    with _reading_errors():
        try:
            answer = _client().get_object(settings.MINIO_BUCKET, key)
        except S3Error as error:
            if error.code != "NoSuchKey":
                raise
            yield None
            return

    def chunks() -> Iterator[bytes]:
        with _reading_errors():
            yield from answer.stream(READ_BYTES, decode_content=False)

    try:
        length = answer.headers.get("Content-Length", "")
        size = int(length) if length.isascii() and length.isdigit() else None
        yield StoredObject(size, answer.headers.get("Content-Type", ""), chunks())
    finally:
        answer.close()
        answer.release_conn()


def upload_key(*, workspace: str, token: str) -> str:
    """Where a client's upload lies until an attachment claims it."""
    return f"uploads/workspace={object_store.partition(workspace)}/{token}"


def upload_url(key: str, *, size: int | None, lifetime: timedelta) -> str:
    """A URL that takes PUTs of a file, of exactly ``size`` bytes where it is given. Needs no network.

    A store may honour headers that nobody signed (MinIO copies what ``x-amz-copy-source`` names), so the URL is signed
    with keys that may only put under ``uploads/``.
    """
    path = f"/{settings.MINIO_BUCKET}/{key}"
    return _upload_signer().url("PUT", path, at=datetime.now(UTC), lifetime=lifetime, content_length=size)


@cache
def _upload_signer() -> Signer:
    has_own = bool(settings.MINIO_UPLOAD_ACCESS_KEY)
    return Signer(
        endpoint=settings.MINIO_PUBLIC_ENDPOINT,
        access_key=settings.MINIO_UPLOAD_ACCESS_KEY if has_own else settings.MINIO_ACCESS_KEY,
        secret_key=settings.MINIO_UPLOAD_SECRET_KEY if has_own else settings.MINIO_SECRET_KEY,
        is_secure=settings.MINIO_PUBLIC_SECURE,
    )


@cache
def _quick_client() -> Minio:
    return object_store.new_client(connect=0.5, read=2.0, connections=4)


def size_of(key: str) -> int | None:
    """An object's bytes, asked for with a short time-out; None where there is none. Raises StoreUnavailable."""
    with _store_errors():
        try:
            return _quick_client().stat_object(settings.MINIO_BUCKET, key).size
        except S3Error as error:
            if error.code not in {"NoSuchKey", "ResourceNotFound"}:
                raise
            return None


@dataclass(frozen=True, slots=True)
class Uploaded:
    """An object in the upload area. ``size``: bytes."""

    key: str
    size: int
    modified_at: datetime


def uploaded(*, after: str, at_most: int) -> list[Uploaded]:
    """What lies in the upload area, in the order of keys, behind one. Raises StoreUnavailable.

    Asked for in every sweep: a store that hangs must not hold the sweeper.
    """
    with _store_errors():
        found = _quick_client().list_objects(
            settings.MINIO_BUCKET, prefix="uploads/", recursive=True, start_after=after or None
        )
        return [
            Uploaded(str(one.object_name), one.size or 0, one.last_modified or datetime.now(UTC))
            for one in itertools.islice(found, at_most)
        ]


def download_url(storage_uri: str, *, filename: str, mime_type: str) -> str:
    """A URL that serves the stored file for an hour, as a download under its own name. Needs no network."""
    return _presigner().presigned_get_object(
        settings.MINIO_BUCKET,
        object_store.key_of(storage_uri),
        expires=DOWNLOAD_URL_LIFETIME,
        response_headers={
            "response-content-type": served_type(mime_type),
            "response-content-disposition": disposition(filename),
        },
    )


# What a browser shows without running anything: no SVG, no HTML.
PREVIEWED = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "application/pdf"})
PREVIEWED_KINDS = frozenset({"audio", "video"})


def preview_kind(mime_type: str) -> str:
    """image, audio, video or pdf, where a browser may show a file of this type; else empty."""
    kind = mime_type.partition("/")[0]
    if kind in PREVIEWED_KINDS:
        return kind
    return ("pdf" if mime_type == "application/pdf" else kind) if mime_type in PREVIEWED else ""


def preview_url(storage_uri: str, *, mime_type: str) -> str:
    """A URL that shows the stored file in a page for an hour. Only for types with a `preview_kind`."""
    return _presigner().presigned_get_object(
        settings.MINIO_BUCKET,
        object_store.key_of(storage_uri),
        expires=DOWNLOAD_URL_LIFETIME,
        response_headers={"response-content-type": served_type(mime_type), "response-content-disposition": "inline"},
    )


@cache
def _presigner() -> Minio:
    return Minio(
        settings.MINIO_PUBLIC_ENDPOINT,
        access_key=settings.MINIO_ACCESS_KEY,
        secret_key=settings.MINIO_SECRET_KEY,
        secure=settings.MINIO_PUBLIC_SECURE,
        region="us-east-1",
    )
