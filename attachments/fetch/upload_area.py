"""The upload area of the bucket: where a client's file is until an attachment claims it."""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from minio.credentials.credentials import Credentials
from minio.error import S3Error

from attachments.fetch import store
from attachments.fetch.presigned import Signer
from evermuse import store_address
from evermuse.store_address import BucketAddress
from lake import object_store, store_credentials
from lake.store_credentials import StoreMisconfigured

# The upload keys may only put under it (`lake.store_accounts.upload_policy`).
PREFIX = "uploads/"


def key_for(*, workspace: str, token: str) -> str:
    """The key of an upload intent's file. ``workspace``: its name."""
    return f"{PREFIX}workspace={object_store.partition(workspace)}/{token}"


def put_url(key: str, *, size: int | None, lifetime: timedelta) -> str:
    """A URL that takes PUTs of a file, of exactly ``size`` bytes if given. Needs no network.

    A store may honour headers that were not signed (MinIO copies what ``x-amz-copy-source`` names), so the URL is
    signed with keys that may only put under ``uploads/``.
    """
    with store.errors():
        signer, address = signer_for(settings.MINIO_PUBLIC_ENDPOINT, is_secure=settings.MINIO_PUBLIC_SECURE)
    path = f"{address.path}/{key}"
    return signer.url("PUT", path, at=datetime.now(UTC), lifetime=lifetime, content_length=size)


def signer_for(endpoint: str, *, is_secure: bool) -> tuple[Signer, BucketAddress]:
    """What signs uploads for an endpoint, and the bucket's address there. Raises StoreMisconfigured."""
    try:
        region = store_address.region(endpoint)
        address = store_address.of_bucket(endpoint, is_secure=is_secure)
    except ValueError:
        raise StoreMisconfigured("MINIO_PUBLIC_ENDPOINT is not the endpoint of an S3 store") from None
    keys = _upload_keys()
    signer = Signer(address.host, keys.access_key, keys.secret_key, is_secure, region, keys.session_token)
    return signer, address


def _upload_keys() -> Credentials:
    if settings.MINIO_UPLOAD_ACCESS_KEY:
        return Credentials(settings.MINIO_UPLOAD_ACCESS_KEY, settings.MINIO_UPLOAD_SECRET_KEY)
    return store_credentials.provider().retrieve()


def size_of(key: str) -> int | None:
    """An object's size in bytes, or None if there is no object. Short time-outs. Raises StoreUnavailable."""
    with store.errors():
        try:
            return store.quick_client().stat_object(settings.MINIO_BUCKET, key).size
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


def listing(*, after: str, at_most: int) -> list[Uploaded]:
    """Objects of the upload area whose keys come after ``after``, in the order of keys. Raises StoreUnavailable.

    Every sweep calls it, so it uses the client with short time-outs.
    """
    with store.errors():
        found = store.quick_client().list_objects(
            settings.MINIO_BUCKET, prefix=PREFIX, recursive=True, start_after=after or None
        )
        return [
            Uploaded(str(one.object_name), one.size or 0, one.last_modified or datetime.now(UTC))
            for one in itertools.islice(found, at_most)
        ]
