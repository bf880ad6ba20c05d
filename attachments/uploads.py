"""Upload intents: a client sends a file straight to the object store, then a record names it, once.

What lies in the upload area can still be overwritten by its URL: it is read through the same checks as a vendor's
answer into a key of the attempt, and only those bytes count.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from attachments import sql, upload_quota, workspaces
from attachments.failures import DownloadFailed, final, transient
from attachments.fetch import storage
from attachments.fetch.download import Answer
from attachments.fetch.watch import Transfer
from attachments.models import Attachment, UploadIntent
from attachments.queue.claims import DownloadClaim, Stored
from evermuse import logs
from evermuse.errors import StoreUnavailable

log = logs.get(__name__)

MAX_CLEARED = 200
WALKED_AT_ONCE = 1000
UNKNOWN_GRACE = timedelta(hours=1)


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


def create(
    *,
    workspace_id: int,
    workspace: str,
    api_key_id: int,
    key_ends_at: Callable[[int], datetime | None],
    declared: Declared,
) -> NewIntent:
    """Make an intent. The URL is signed here; the store is only asked for the sizes of files of undeclared size.

    ``key_ends_at``: returns when the API key ends, and locks the key until the transaction that inserts the intent ends.
    Raises upload_quota.QuotaFull.
    """
    upload_quota.measure(workspace_id, workspace)
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
    """Make the unclaimed intents of a revoked key unusable, in the transaction that revokes it."""
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
    url = storage.upload_url(
        storage.upload_key(workspace=workspace, token=token), size=declared.size, lifetime=lifetime
    )
    return NewIntent(token, url, now + lifetime)


def claim(claim: DownloadClaim) -> UploadIntent | Stored:
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
    if intent.expires_at > timezone.now():
        return final("INTENT_EXPIRED", "upload_intent_id: the API key that made this intent is revoked or expired")
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


def _is_over(now: datetime) -> Q:
    """Unclaimed, and too late to claim: it has expired, or its key has ended."""
    return Q(origin=None) & (Q(expires_at__lt=now) | Q(key_ends_at__lte=now))


def clear_expired() -> int:
    """Sweep away what nobody claimed in time, and what is stored by now; how many."""
    now = timezone.now()
    is_settled = Q(attachment=None) | Q(attachment__state__in=[Attachment.State.COMPLETE, Attachment.State.FAILED])
    due = UploadIntent.objects.filter(
        _is_over(now)
        | Q(expires_at__lt=now) & is_settled & ~Q(origin=None)
        | Q(attachment__state=Attachment.State.COMPLETE),
        is_cleared=False,
    )
    cleared = 0
    for intent in due.order_by("expires_at")[:MAX_CLEARED]:
        try:
            storage.remove(storage.upload_key(workspace=workspaces.name_of(intent.workspace_id), token=intent.token))
        except StoreUnavailable as error:
            log.warning("upload.left", error=str(error)[:200])
            break
        if intent.origin is None and intent.expires_at < now:
            # Only while nobody has claimed it meanwhile.
            UploadIntent.objects.filter(pk=intent.pk, origin=None).delete()
        else:
            # Of a revoked key as well: its URL takes files until it expires, and they must be known again.
            UploadIntent.objects.filter(pk=intent.pk).update(is_cleared=True)
        cleared += 1
    return cleared


class Walk:
    """Goes through the upload area page by page: measures what was sent without a declared size, and removes orphans.

    A URL takes PUTs until it expires, also after its file was claimed or its key revoked: what comes then is nobody's.
    """

    def __init__(self) -> None:
        self._after = ""

    def step(self) -> int:
        """Look at one page; how many objects were removed. At the end it begins anew."""
        try:
            page = storage.uploaded(after=self._after, at_most=WALKED_AT_ONCE)
            self._after = page[-1].key if len(page) == WALKED_AT_ONCE else ""
            return _settle_page(page)
        except StoreUnavailable as error:
            log.warning("upload.walk_waits", error=str(error)[:200])
            return 0


walk = Walk()


def _settle_page(page: list[storage.Uploaded]) -> int:
    found = {one.key.rpartition("/")[2]: one for one in page}
    known = {intent.token: intent for intent in UploadIntent.objects.filter(token__in=found)}
    # No URL is older, not of another deployment either that should share the bucket.
    long_ago = timezone.now() - timedelta(seconds=settings.EVERMUSE_UPLOAD_INTENT_SECONDS) - UNKNOWN_GRACE
    removed = 0
    for token, one in found.items():
        intent = known.get(token)
        if (intent is None and one.modified_at < long_ago) or (intent is not None and intent.is_cleared):
            storage.remove(one.key)
            removed += 1
        elif intent is not None and intent.size is None and intent.measured_size != one.size:
            UploadIntent.objects.filter(pk=intent.pk).update(measured_size=one.size)
    if removed:
        log.info("upload.orphans_removed", count=removed)
    return removed
