"""Presigned URLs of stored files that expire within the hour: to download a file, or to show it in a page."""

from datetime import timedelta
from typing import Any

from django.conf import settings

from attachments.fetch import store
from attachments.fetch.served_names import disposition, served_type
from lake import object_store

LIFETIME = timedelta(hours=1)

# A browser shows these without running anything: no SVG, no HTML.
PREVIEWED = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "application/pdf"})
PREVIEWED_KINDS = frozenset({"audio", "video"})


def preview_kind(mime_type: str) -> str:
    """image, audio, video or pdf if a browser may show a file of this type, else empty."""
    kind = mime_type.partition("/")[0]
    if kind in PREVIEWED_KINDS:
        return kind
    return ("pdf" if mime_type == "application/pdf" else kind) if mime_type in PREVIEWED else ""


def download_url(storage_uri: str, *, filename: str, mime_type: str) -> str:
    """A URL that serves the stored file as a download under its own name. Needs no network."""
    return _url(storage_uri, mime_type=mime_type, disposition=disposition(filename))


def preview_url(storage_uri: str, *, mime_type: str) -> str:
    """A URL that shows the stored file in a page. Only for types with a `preview_kind`."""
    return _url(storage_uri, mime_type=mime_type, disposition="inline")


def _url(storage_uri: str, *, mime_type: str, disposition: str) -> str:
    headers: Any = {"response-content-type": served_type(mime_type), "response-content-disposition": disposition}
    with store.errors():
        return object_store.public_client().presigned_get_object(
            settings.MINIO_BUCKET, object_store.key_of(storage_uri), expires=LIFETIME, response_headers=headers
        )
