"""Clears the upload area: removes files that are stored, files that nobody claimed, and files that came after their
claim.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from attachments import upload_quota, workspace_names
from attachments.fetch import store, upload_area
from attachments.models import Attachment, UploadIntent
from evermuse import logs
from evermuse.errors import StoreUnavailable

log = logs.get(__name__)

MAX_CLEARED = 200
WALKED_AT_ONCE = 1000
UNKNOWN_GRACE = timedelta(hours=1)


def clear(intent_id: str, workspace: str) -> None:
    """Remove a claimed file from the upload area after it was stored. If that fails, the sweeper does it later."""
    try:
        store.remove(upload_area.key_for(workspace=workspace, token=intent_id))
        UploadIntent.objects.filter(token=intent_id).update(is_cleared=True)
    except StoreUnavailable as error:
        log.warning("upload.left", error=str(error)[:200])


def _is_over(now: datetime) -> Q:
    """Intents that are unclaimed and can no longer be claimed: they have expired, or their key has ended.

    A legal hold keeps them anyway.
    """
    return Q(origin=None, workspace__legal_hold=False) & (Q(expires_at__lt=now) | Q(key_ends_at__lte=now))


def clear_expired() -> int:
    """Remove files that no record claimed in time, and files that are stored by now. Returns the number removed."""
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
            store.remove(
                upload_area.key_for(workspace=workspace_names.name_of(intent.workspace_id), token=intent.token)
            )
        except StoreUnavailable as error:
            log.warning("upload.left", error=str(error)[:200])
            break
        if intent.origin is None and intent.expires_at < now:
            # Do not delete an intent that was claimed meanwhile.
            UploadIntent.objects.filter(pk=intent.pk, origin=None).delete()
        else:
            # Keep the row, also for a revoked key: its URL takes files until it expires, and the sweeper must recognise
            # them.
            UploadIntent.objects.filter(pk=intent.pk).update(is_cleared=True)
        cleared += 1
    return cleared


class UploadAreaWalk:
    """Walks through the upload area page by page: measures files of undeclared size, and removes orphans and overflow.

    A URL takes files until it expires, also after its file was claimed or its key was revoked. Such late files are
    orphans.
    """

    def __init__(self) -> None:
        self._after = ""

    def step(self) -> int:
        """Look at one page, and return how many objects were removed. After the last page it starts again."""
        try:
            page = upload_area.listing(after=self._after, at_most=WALKED_AT_ONCE)
            self._after = page[-1].key if len(page) == WALKED_AT_ONCE else ""
            return _settle_page(page)
        except StoreUnavailable as error:
            log.warning("upload.walk_waits", error=str(error)[:200])
            return 0


walk = UploadAreaWalk()


def _settle_page(page: list[upload_area.Uploaded]) -> int:
    found = {one.key.rpartition("/")[2]: one for one in page}
    known = {intent.token: intent for intent in UploadIntent.objects.filter(token__in=found)}
    # No upload URL is older than this, even if another deployment shares the bucket.
    long_ago = timezone.now() - timedelta(seconds=settings.EVERMUSE_UPLOAD_INTENT_SECONDS) - UNKNOWN_GRACE
    removed = 0
    measured: set[int] = set()
    for token, one in found.items():
        intent = known.get(token)
        if (intent is None and one.modified_at < long_ago) or (intent is not None and intent.is_cleared):
            store.remove(one.key)
            removed += 1
        elif intent is not None and intent.size is None and intent.measured_size != one.size:
            UploadIntent.objects.filter(pk=intent.pk).update(measured_size=one.size)
            measured.add(intent.workspace_id)
    if removed:
        log.info("upload.orphans_removed", count=removed)
    for workspace_id in sorted(measured):
        if over := upload_quota.remove_overflow(workspace_id, workspace_names.name_of(workspace_id)):
            log.warning("upload.over_quota", workspace_id=workspace_id, removed=over)
            removed += over
    return removed
