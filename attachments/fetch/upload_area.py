"""The upload area of the bucket: where a client's file is until an attachment claims it."""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from django.conf import settings
from minio.error import S3Error

from attachments.fetch import store
from attachments.fetch.presigned import Signer
from lake import object_store


def key_for(*, workspace: str, token: str) -> str:
    """The key of an upload intent's file. ``workspace``: its name."""
    return f"uploads/workspace={object_store.partition(workspace)}/{token}"


def put_url(key: str, *, size: int | None, lifetime: timedelta) -> str:
    """A URL that takes PUTs of a file, of exactly ``size`` bytes if given. Needs no network.

    A store may honour headers that were not signed (MinIO copies what ``x-amz-copy-source`` names), so the URL is
    signed with keys that may only put under ``uploads/``.
    """
    path = f"/{settings.MINIO_BUCKET}/{key}"
    return _signer().url("PUT", path, at=datetime.now(UTC), lifetime=lifetime, content_length=size)


@cache
def _signer() -> Signer:
    has_own = bool(settings.MINIO_UPLOAD_ACCESS_KEY)
    return Signer(
        endpoint=settings.MINIO_PUBLIC_ENDPOINT,
        access_key=settings.MINIO_UPLOAD_ACCESS_KEY if has_own else settings.MINIO_ACCESS_KEY,
        secret_key=settings.MINIO_UPLOAD_SECRET_KEY if has_own else settings.MINIO_SECRET_KEY,
        is_secure=settings.MINIO_PUBLIC_SECURE,
    )


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
            settings.MINIO_BUCKET, prefix="uploads/", recursive=True, start_after=after or None
        )
        return [
            Uploaded(str(one.object_name), one.size or 0, one.last_modified or datetime.now(UTC))
            for one in itertools.islice(found, at_most)
        ]
