"""The object store: one client for each process, with short time-outs and without retries.

minio's default waits five minutes, six times. Here a call fails within seconds, and the caller decides what to do.
"""

import io
from collections.abc import Iterable
from functools import cache
from urllib.parse import quote

import urllib3
from django.conf import settings
from minio.credentials.providers import Provider
from minio.deleteobjects import DeleteObject
from minio.error import MinioException, S3Error

from evermuse import logs, store_address
from evermuse.errors import StoreUnavailable
from lake import store_credentials
from lake.store_client import StoreClient, status_of
from lake.store_credentials import StoreMisconfigured

log = logs.get(__name__)

CONNECT_SECONDS, READ_SECONDS = 2.0, 10.0
FAULTS = (MinioException, urllib3.exceptions.HTTPError, OSError)

UNKNOWN_HOST = "the name of its host cannot be resolved"

# Objects of checks, which are removed at once.
CHECK_PREFIX = "evermuse-check/"

# The smallest part of an S3 upload in parts.
MIN_PART_BYTES = 5 * 1024 * 1024


def new_pool(
    *, connect: float = CONNECT_SECONDS, read: float = READ_SECONDS, connections: int = 32
) -> urllib3.PoolManager:
    """Connections with time-outs in seconds and without retries."""
    return urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=connect, read=read),
        maxsize=connections,
        retries=urllib3.Retry(0, redirect=False),
    )


def new_client(
    *,
    connect: float = CONNECT_SECONDS,
    read: float = READ_SECONDS,
    connections: int = 32,
    credentials: Provider | None = None,
) -> StoreClient:
    """A client with its own connection pool. Times in seconds. ``credentials``: by default those of this process.

    Raises StoreMisconfigured.
    """
    pool = new_pool(connect=connect, read=read, connections=connections)
    return _client_of(settings.MINIO_ENDPOINT, settings.MINIO_SECURE, credentials, pool)


@cache
def public_client() -> StoreClient:
    """A client that makes the URLs that clients and browsers get. Raises StoreMisconfigured."""
    return _client_of(settings.MINIO_PUBLIC_ENDPOINT, settings.MINIO_PUBLIC_SECURE, None, new_pool())


def _client_of(endpoint: str, is_secure: bool, credentials: Provider | None, pool: urllib3.PoolManager) -> StoreClient:
    if not store_address.is_bucket_name(settings.MINIO_BUCKET):
        raise store_credentials.bad_bucket_name()
    try:
        made = StoreClient(
            endpoint,
            secure=is_secure,
            region=store_address.region(endpoint),
            credentials=credentials or store_credentials.provider(),
            http_client=pool,
        )
    except ValueError:
        raise StoreMisconfigured("MINIO_ENDPOINT or MINIO_PUBLIC_ENDPOINT is not the endpoint of an S3 store") from None
    store_address.apply_style(made)
    return made


@cache
def client() -> StoreClient:
    """This process's client. Threads may share it."""
    return new_client()


def ensure_bucket() -> None:
    """Create the bucket if it does not exist."""
    if not client().bucket_exists(settings.MINIO_BUCKET):
        client().make_bucket(settings.MINIO_BUCKET)


def put(key: str, content: bytes, content_type: str) -> str:
    """Store an object in one request, and return its URI. Raises StoreUnavailable."""
    try:
        client().put_object(
            settings.MINIO_BUCKET, key, io.BytesIO(content), len(content), content_type=content_type,
            part_size=max(len(content), MIN_PART_BYTES),
        )  # fmt: skip
    except FAULTS as error:
        raise unavailable(error) from None
    return uri(key)


def get(key: str, *, max_bytes: int) -> bytes | None:
    """An object's first ``max_bytes`` + 1 bytes, so that the caller sees if it is longer. None if there is no object.

    Raises StoreUnavailable.
    """
    try:
        answer = client().get_object(settings.MINIO_BUCKET, key)
        try:
            return bytes(answer.read(max_bytes + 1))
        finally:
            answer.close()
            answer.release_conn()
    except FAULTS as error:
        if isinstance(error, S3Error) and error.code == "NoSuchKey":
            return None
        raise unavailable(error) from None


def get_range(key: str, start: int, length: int) -> bytes | None:
    """``length`` bytes of an object from ``start``, fewer at its end. None if there is no object.

    Raises StoreUnavailable.
    """
    try:
        answer = client().get_object(settings.MINIO_BUCKET, key, offset=start, length=length)
        try:
            return bytes(answer.read())
        finally:
            answer.close()
            answer.release_conn()
    except FAULTS as error:
        if isinstance(error, S3Error) and error.code == "NoSuchKey":
            return None
        if isinstance(error, S3Error) and error.code == "InvalidRange":
            return b""
        raise unavailable(error) from None


def remove(keys: Iterable[str]) -> None:
    """Remove objects. They need not exist. Raises StoreUnavailable."""
    try:
        failed = next(iter(client().remove_objects(settings.MINIO_BUCKET, [DeleteObject(key) for key in keys])), None)
    except FAULTS as error:
        raise unavailable(error) from None
    if failed is not None:
        raise StoreUnavailable(f"it did not delete an object: {failed.code}")


def abort_uploads(key: str) -> None:
    """Abort unfinished uploads in parts of a key. Raises StoreUnavailable."""
    try:
        for found, upload_id in client().open_uploads(settings.MINIO_BUCKET, key):
            if found == key:
                client().abort_upload(settings.MINIO_BUCKET, key, upload_id)
    except FAULTS as error:
        raise unavailable(error) from None


def unavailable(error: BaseException) -> StoreUnavailable:
    """A library's error in words for logs and clients, without URLs, keys, addresses and ports.

    Raise it ``from None``, because the library's own text contains all of them.
    """
    if isinstance(error, StoreMisconfigured):
        return StoreUnavailable(str(error))
    if (status := status_of(error)) is not None:
        code = error.code if isinstance(error, S3Error) else None
        return StoreUnavailable(f"it answered HTTP {status}" + (f" {code[:64]}" if code else ""))
    cause = getattr(error, "reason", None)
    if not isinstance(cause, BaseException):
        cause = error
    if isinstance(cause, urllib3.exceptions.NameResolutionError):
        return StoreUnavailable(UNKNOWN_HOST)
    # First, because urllib3's NewConnectionError is also one of its time-outs.
    if isinstance(cause, urllib3.exceptions.NewConnectionError | ConnectionRefusedError):
        return StoreUnavailable("it takes no connection")
    if isinstance(cause, TimeoutError | urllib3.exceptions.TimeoutError):
        return StoreUnavailable("it timed out")
    return StoreUnavailable(f"the connection failed ({type(cause).__name__})")


def uri(key: str) -> str:
    """``s3://bucket/key``, the URI in rows and responses."""
    return f"s3://{settings.MINIO_BUCKET}/{key}"


def key_of(storage_uri: str) -> str:
    """The key in a URI that `uri` made."""
    return storage_uri.removeprefix("s3://").partition("/")[2]


def is_up() -> bool:
    """Whether the store answers and has our bucket."""
    try:
        # A listing, because the answer to bucket_exists (HEAD) has no body that says why the store refuses it.
        next(iter(client().list_objects(settings.MINIO_BUCKET, prefix=CHECK_PREFIX)), None)
    except FAULTS as error:
        _log_away(str(unavailable(error)))
        return False
    _log_away("")
    return True


_last_reason = ""


def _log_away(reason: str) -> None:
    """Log why the store cannot be used. Probes are frequent, so the same reason is logged only once."""
    global _last_reason
    if reason and reason != _last_reason:
        log.warning("readiness.store_away", error=reason)
    _last_reason = reason


def partition(value: str) -> str:
    """A value as a part of a key: percent-encoded, and at most 200 characters."""
    return quote(value, safe="")[:200]
