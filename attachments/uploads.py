"""Upload intents: a client sends a file straight to the object store, then one record names it.

Whoever has the URL can overwrite the uploaded file. So it is read through the same checks as a vendor's response and
stored under a key of the attempt; only those bytes count.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from attachments import sql, upload_quota
from attachments.download_failures import DownloadFailed, final, transient
from attachments.fetch import store, upload_area
from attachments.fetch.download import IncomingFile
from attachments.fetch.watch import Transfer
from attachments.models import Attachment, UploadIntent
from attachments.queue.claims import DownloadClaim, Stored
from evermuse import logs

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Declared:
    """What the client declares about the file that it will send. ``size``: bytes."""

    filename: str = ""
    mime_type: str = ""
    size: int | None = None
    sha1: str = ""
    md5: str = ""


@dataclass(frozen=True, slots=True)
class NewIntent:
    """A new intent, with the URL to PUT the file to."""

    token: str
    url: str
    expires_at: datetime


def create(
    *,
    workspace_id: int,
    workspace: str,
    api_key_id: int,
    key_ends_at: Callable[[int], datetime | None],
    declared: Declared,
) -> NewIntent:
    """Make an intent. The URL is signed locally; the store is asked only about files of undeclared size.

    ``key_ends_at`` returns when the API key ends, and locks the key until the transaction that inserts the intent ends.
    Raises upload_quota.QuotaFull.
    """
    upload_quota.measure_files(workspace_id, workspace)
    with transaction.atomic():
        ends_at = key_ends_at(api_key_id)
        upload_quota.reserve(workspace_id, declared.size)
        return _insert(
            workspace_id=workspace_id,
            workspace=workspace,
            api_key_id=api_key_id,
            key_ends_at=ends_at,
            declared=declared,
        )


def end_with_key(api_key_id: int) -> None:
    """End the unclaimed intents of a key, in the transaction that revokes it."""
    UploadIntent.objects.filter(api_key_id=api_key_id, origin=None, is_cleared=False).update(key_ends_at=Now())


def _insert(
    *, workspace_id: int, workspace: str, api_key_id: int, key_ends_at: datetime | None, declared: Declared
) -> NewIntent:
    token = f"upl_{secrets.token_urlsafe(24)}"
    now = timezone.now()
    lifetime = timedelta(seconds=settings.EVERMUSE_UPLOAD_INTENT_SECONDS)
    UploadIntent.objects.create(
        workspace_id=workspace_id,
        api_key_id=api_key_id,
        key_ends_at=key_ends_at,
        token=token,
        filename=declared.filename.replace("\0", "\ufffd"),
        mime_type=declared.mime_type.replace("\0", "\ufffd"),
        size=declared.size,
        sha1=declared.sha1.replace("\0", "\ufffd"),
        md5=declared.md5.replace("\0", "\ufffd"),
        created_at=now,
        expires_at=now + lifetime,
    )
    url = upload_area.put_url(
        upload_area.key_for(workspace=workspace, token=token), size=declared.size, lifetime=lifetime
    )
    return NewIntent(token, url, now + lifetime)


def claim_intent(claim: DownloadClaim) -> UploadIntent | Stored:
    """Claim the intent that an attachment names. Return it, or the stored file if the same record claimed it before.

    Raises DownloadFailed if the intent is unknown, expired, of another workspace, or claimed by another record.
    """
    token = claim.upload_intent_id
    parameters: dict[str, Any] = {
        "intent": token, "workspace": claim.workspace_id, "attachment": claim.id, "origin": claim.origin,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(sql.CLAIM_INTENT, parameters)
        row = cursor.fetchone()
    if row is None:
        raise _refused(token, claim.workspace_id)
    intent = UploadIntent.objects.select_related("attachment").get(pk=row[0])
    first = intent.attachment
    if first is not None and first.pk != claim.id and first.state == Attachment.State.COMPLETE:
        return Stored(
            uri=first.storage_uri,
            size=first.size or 0,
            mime_type=first.mime_type,
            sha256=first.sha256,
            sha1=first.sha1,
            md5=first.md5,
            is_new=False,
        )
    return intent


def _refused(token: str, workspace_id: int) -> DownloadFailed:
    intent = UploadIntent.objects.filter(token=token, workspace_id=workspace_id).first()
    if intent is None:
        return final("UNKNOWN_INTENT", "upload_intent_id: there is no such upload intent in this workspace")
    if intent.origin is not None:
        return final("INTENT_CLAIMED", "upload_intent_id: another attachment has claimed this upload already")
    if intent.expires_at > timezone.now() and (intent.key_ends_at is None or intent.key_ends_at > timezone.now()):
        return final(
            "UPLOAD_QUOTA",
            "upload_intent_id: the file was removed because the workspace's uploads exceeded their quota",
        )
    if intent.expires_at > timezone.now():
        return final("INTENT_EXPIRED", "upload_intent_id: the API key that made this intent is revoked or expired")
    return final("INTENT_EXPIRED", f"upload_intent_id: the intent expired at {intent.expires_at:%Y-%m-%dT%H:%M:%SZ}")


@contextmanager
def open_uploaded(intent: UploadIntent, workspace: str, transfer: Transfer) -> Iterator[IncomingFile]:
    """The uploaded file, read like a vendor's response. Raises DownloadFailed and StoreUnavailable."""
    key = upload_area.key_for(workspace=workspace, token=intent.token)
    with store.reading(key) as found:
        if found is None:
            raise transient("NOT_UPLOADED", "nothing was uploaded for this upload_intent_id yet")

        def chunks() -> Iterator[bytes]:
            for chunk in found.chunks:
                if transfer.stopped:
                    raise DownloadFailed(transfer.stopped)
                transfer.bytes_read += len(chunk)
                yield chunk

        yield IncomingFile(status=0, mime_type=found.mime_type, announced=found.size, chunks=chunks())
