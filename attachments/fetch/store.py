"""The object store as downloads use it: clients with suitable time-outs, reading, and errors."""

import contextlib
import http.client
import io
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus

import urllib3
from django.conf import settings
from minio.error import S3Error

from attachments.download_failures import transient
from lake import object_store
from lake.store_client import StoreClient, status_of

READ_BYTES = 256 * 1024


@cache
def client() -> StoreClient:
    """The client for transfers, many at once."""
    return object_store.new_client(read=60.0, connections=64)


@cache
def quick_client() -> StoreClient:
    """The client for requests and sweeps, which must not wait long for a store that hangs."""
    return object_store.new_client(connect=0.5, read=2.0, connections=4)


@contextlib.contextmanager
def errors() -> Iterator[None]:
    """Raise StoreUnavailable instead of a library's error."""
    try:
        yield
    except object_store.FAULTS as error:
        raise object_store.unavailable(error) from None


# Codes of 4xx answers about the store, or about our access to it, and not about one object.
_ABOUT_THE_STORE = {
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "RequestTimeTooSkewed", "NoSuchBucket",
    "AllAccessDisabled", "AccountProblem", "SlowDown", "TooManyRequests", "RequestTimeout", "MethodNotAllowed",
}  # fmt: skip


def keeps_others() -> bool:
    """Whether the store stores and returns another object now. Then a fault in reading an object is about that object."""
    key = f"{object_store.CHECK_PREFIX}{secrets.token_hex(16)}"
    quick = quick_client()
    try:
        quick.put_object(settings.MINIO_BUCKET, key, io.BytesIO(b"1"), 1)
        with contextlib.closing(quick.get_object(settings.MINIO_BUCKET, key)) as answer:
            is_kept = bytes(answer.read()) == b"1"
        quick.remove_object(settings.MINIO_BUCKET, key)
    except object_store.FAULTS:
        return False
    return is_kept


def _may_be_about_the_object(error: BaseException) -> bool:
    """Whether the store began to answer, and neither asked us to wait nor was replaced by a proxy's answer."""
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return any(isinstance(one, http.client.IncompleteRead) for one in error.args)
    return status_of(error) == HTTPStatus.INTERNAL_SERVER_ERROR


@contextlib.contextmanager
def _reading_errors() -> Iterator[None]:
    """Raise StoreUnavailable if the store is away, and DownloadFailed if its answer is about the object.

    A broken file would otherwise be tried for ever, because a store that is away is waited for.
    """
    try:
        yield
    except object_store.FAULTS as error:
        status = error.response.status if isinstance(error, S3Error) else 0
        if isinstance(error, S3Error) and 400 <= status < 500 and error.code not in _ABOUT_THE_STORE:
            raise transient("STORE_REFUSED", f"the object store does not return the file: HTTP {status}") from None
        if isinstance(error, urllib3.exceptions.DecodeError):
            raise transient("STORE_REFUSED", "the file cannot be read as the object store returns it") from None
        if _may_be_about_the_object(error) and keeps_others():
            raise transient("STORE_REFUSED", "the object store fails to return the file, but returns others") from None
        raise object_store.unavailable(error) from None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that is being read. ``size``: bytes, or None if the store does not say."""

    size: int | None
    mime_type: str
    chunks: Iterator[bytes]


@contextlib.contextmanager
def reading(key: str) -> Iterator[StoredObject | None]:
    """An object's bytes as a stream, without decoding any Content-Encoding. None if there is no such object.

    Raises StoreUnavailable, and DownloadFailed if the store refuses this object, also while the chunks are read.
    """
    with _reading_errors():
        try:
            answer = client().get_object(settings.MINIO_BUCKET, key)
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


def remove(key: str) -> None:
    """Remove an object. It need not exist. Raises StoreUnavailable."""
    with errors():
        client().remove_object(settings.MINIO_BUCKET, key)
