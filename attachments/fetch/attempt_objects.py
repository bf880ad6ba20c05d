"""The objects that one attempt of a download stores: their keys, and clearing up after them."""

import secrets

from django.conf import settings

from attachments.fetch import store
from lake import object_store


def prefix(*, workspace: str, attachment: str, token: int) -> str:
    """The prefix that all keys of an attempt share."""
    return f"attachments/workspace={object_store.partition(workspace)}/{attachment}/{token}"


def new_key(*, workspace: str, attachment: str, token: int) -> str:
    """A new key that no other attempt writes to and that cannot be guessed."""
    return f"{prefix(workspace=workspace, attachment=attachment, token=token)}-{secrets.token_hex(8)}"


def keys(of: str) -> list[str]:
    """Keys of the objects that the attempt with this prefix stored. Raises StoreUnavailable."""
    with store.errors():
        found = store.client().list_objects(settings.MINIO_BUCKET, prefix=of)
        return [key for one in found if _is_of_attempt(key := str(one.object_name), of)]


def _is_of_attempt(key: str, prefix: str) -> bool:
    """Earlier versions used the prefix itself as the key."""
    return key == prefix or key.startswith(f"{prefix}-")


def abort_uploads(of: str) -> int:
    """Abort the uploads in parts that the attempt with this prefix began, and return their number.

    Raises StoreUnavailable.
    """
    with store.errors():
        found = store.client().open_uploads(settings.MINIO_BUCKET, of)
        uploads = [(key, upload_id) for key, upload_id in found if _is_of_attempt(key, of)]
        for key, upload_id in uploads:
            store.client().abort_upload(settings.MINIO_BUCKET, key, upload_id)
    return len(uploads)
