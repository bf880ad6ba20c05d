"""URLs of stored files that are valid for an hour: presigned ones of the object store, or URLs of the web process.

Some stores cannot send ``X-Content-Type-Options: nosniff``, for example SeaweedFS. EVERMUSE_DOWNLOAD_URLS selects the kind.
"""

from dataclasses import asdict, dataclass
from urllib.parse import quote

from django.conf import settings
from django.core import signing

from attachments.fetch import file_urls
from attachments.fetch.served_names import disposition, served_type
from lake import object_store

LIFETIME = file_urls.LIFETIME
PATH = "/files"
_SALT = "evermuse.files"


@dataclass(frozen=True, slots=True)
class Ticket:
    """The content of a ticket: an object's key, and the headers to serve it with."""

    key: str
    content_type: str
    disposition: str


def download_url(storage_uri: str, *, filename: str, mime_type: str) -> str:
    """A URL that serves the stored file for an hour, as a download under its own name. Needs no network."""
    if settings.EVERMUSE_DOWNLOAD_URLS == "WEB":
        ticket = Ticket(object_store.key_of(storage_uri), served_type(mime_type), disposition(filename))
        return settings.EVERMUSE_DOWNLOAD_BASE_URL + path_of(ticket)
    return file_urls.download_url(storage_uri, filename=filename, mime_type=mime_type)


def preview_url(storage_uri: str, *, mime_type: str) -> str:
    """A URL that shows the stored file in the admin for an hour. Only for types with a `file_urls.preview_kind`."""
    if settings.EVERMUSE_DOWNLOAD_URLS == "WEB":
        return path_of(Ticket(object_store.key_of(storage_uri), served_type(mime_type), "inline"))
    return file_urls.preview_url(storage_uri, mime_type=mime_type)


def path_of(ticket: Ticket) -> str:
    """The path and query for a ticket. The ticket is in the query, because logs omit queries."""
    signed = signing.TimestampSigner(salt=_SALT).sign_object(asdict(ticket), compress=True)
    return f"{PATH}?ticket={quote(signed, safe=':')}"


def ticket_of(signed: str) -> Ticket:
    """Verify and decode a ticket. Raises `signing.SignatureExpired`, or `signing.BadSignature` if we did not sign it."""
    return Ticket(**signing.TimestampSigner(salt=_SALT).unsign_object(signed, max_age=LIFETIME))
