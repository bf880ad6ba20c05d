"""Upload intents: a client sends a file straight to the object store, then a record names it, once.

What lies in the upload area can still be overwritten by its URL: it is read through the same checks as a vendor's
answer into a key of the attempt, and only those bytes count.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Q
from django.utils import timezone

from attachments import sql, storage
from attachments.claims import Claim, Stored
from attachments.download import Answer
from attachments.failures import DownloadFailed, final, transient
from attachments.models import Attachment, UploadIntent
from attachments.watch import Transfer
from evermuse import logs
from evermuse.errors import StoreUnavailable

log = logs.get(__name__)

MAX_CLEARED = 200


@dataclass(frozen=True, slots=True)
class Declared:
    """What the client says of a file that it is about to send. ``size``: bytes."""

    filename: str = ""
    mime_type: str = ""
    size: int | None = None
    sha1: str = ""
    md5: str = ""


@dataclass(frozen=True, slots=True)
class NewIntent:
    """An intent that was just made, with the URL to PUT the file to."""

    token: str
    url: str
    expires_at: datetime


def create(*, workspace_id: int, workspace: str, declared: Declared) -> NewIntent:
    """Make an intent. Needs no network: the URL is signed here."""
    token = f"upl_{secrets.token_urlsafe(24)}"
    now = timezone.now()
    lifetime = timedelta(seconds=settings.EVERMUSE_UPLOAD_INTENT_SECONDS)
    UploadIntent.objects.create(
        workspace_id=workspace_id,
        token=token,
        filename=declared.filename.replace("\0", "\ufffd"),
        mime_type=declared.mime_type.replace("\0", "\ufffd"),
        size=declared.size,
        sha1=declared.sha1.replace("\0", "\ufffd"),
        md5=declared.md5.replace("\0", "\ufffd"),
        created_at=now,
        expires_at=now + lifetime,
    )
    url = storage.upload_url(storage.upload_key(workspace=workspace, token=token), lifetime=lifetime)
    return NewIntent(token, url, now + lifetime)


def claim(claim: Claim) -> UploadIntent | Stored:
    """The intent that an attachment names, now its own; or what is stored, where the same record named it before.

    Raises DownloadFailed for an unknown or foreign one, an expired one, and one that another record has claimed.
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
        )
    return intent


def _refused(token: str, workspace_id: int) -> DownloadFailed:
    intent = UploadIntent.objects.filter(token=token, workspace_id=workspace_id).first()
    if intent is None:
        return final("UNKNOWN_INTENT", "upload_intent_id: there is no such upload intent in this workspace")
    if intent.origin is not None:
        return final("INTENT_CLAIMED", "upload_intent_id: another attachment has claimed this upload already")
    return final("INTENT_EXPIRED", f"upload_intent_id: the intent expired at {intent.expires_at:%Y-%m-%dT%H:%M:%SZ}")


@contextmanager
def opened(intent: UploadIntent, workspace: str, transfer: Transfer) -> Iterator[Answer]:
    """The uploaded file, as a vendor's answer would be. Raises DownloadFailed and StoreUnavailable."""
    key = storage.upload_key(workspace=workspace, token=intent.token)
    with storage.reading(key) as found:
        if found is None:
            raise transient("NOT_UPLOADED", "nothing was uploaded for this upload_intent_id yet")

        def chunks() -> Iterator[bytes]:
            for chunk in found.chunks:
                if transfer.stopped:
                    raise DownloadFailed(transfer.stopped)
                transfer.bytes_read += len(chunk)
                yield chunk

        yield Answer(status=0, mime_type=found.mime_type, announced=found.size, chunks=chunks())


def clear(intent_id: str, workspace: str) -> None:
    """Remove a claimed file from the upload area, once it is stored. What fails here is the sweeper's."""
    try:
        storage.remove(storage.upload_key(workspace=workspace, token=intent_id))
        UploadIntent.objects.filter(token=intent_id).update(is_cleared=True)
    except StoreUnavailable as error:
        log.warning("upload.left", error=str(error)[:200])


def clear_expired() -> int:
    """Sweep away what nobody claimed in time, and what is stored by now; how many."""
    is_unclaimed = Q(origin=None)
    is_settled = Q(attachment=None) | Q(attachment__state__in=[Attachment.State.COMPLETE, Attachment.State.FAILED])
    due = UploadIntent.objects.filter(
        Q(expires_at__lt=timezone.now()) & (is_unclaimed | is_settled) | Q(attachment__state=Attachment.State.COMPLETE),
        is_cleared=False,
    )
    cleared = 0
    for intent in due.select_related("workspace").order_by("expires_at")[:MAX_CLEARED]:
        try:
            storage.remove(storage.upload_key(workspace=intent.workspace.name, token=intent.token))
        except StoreUnavailable as error:
            log.warning("upload.left", error=str(error)[:200])
            break
        if intent.origin is None:
            # Only while nobody has claimed it meanwhile.
            UploadIntent.objects.filter(pk=intent.pk, origin=None).delete()
        else:
            UploadIntent.objects.filter(pk=intent.pk).update(is_cleared=True)
        cleared += 1
    return cleared
