"""The limit on a workspace's unclaimed uploads. It is exact under concurrency."""

from dataclasses import dataclass

import urllib3
from django.conf import settings
from django.db import connection

from attachments import sql
from attachments.fetch import store, upload_area
from attachments.models import UploadIntent
from evermuse.advisory_locks import AdvisoryLock
from evermuse.errors import StoreUnavailable

# Until it is measured, a file of undeclared size counts as this share of the quota.
UNDECLARED_SHARE = 256
# How many such files are measured when the next intent is made. The sweeper measures the others.
MEASURED_AT_ONCE = 16
# The most files that one round removes.
REMOVED_AT_ONCE = 200
# Seconds.
LONGEST_RETRY_AFTER = 60


@dataclass(frozen=True, slots=True)
class QuotaFull(Exception):
    """Raised if there is no room for another upload. ``retry_after``: whole seconds until another try makes sense."""

    held: int
    retry_after: int


def reserve(workspace_id: int, size: int | None) -> None:
    """Check that there is room for one more upload, in the transaction that inserts its intent. Raises QuotaFull.

    ``size``: declared bytes. Other requests of the workspace wait until the transaction ends.
    """
    with connection.cursor() as cursor:
        cursor.execute(sql.LOCK_UPLOADS, {"lock": AdvisoryLock.UPLOAD_QUOTA, "workspace": workspace_id})
    quota = settings.EVERMUSE_UPLOAD_QUOTA_BYTES
    held, seconds = _held(workspace_id, undeclared=quota // UNDECLARED_SHARE)
    if held + (quota // UNDECLARED_SHARE if size is None else size) > quota:
        raise QuotaFull(held, max(1, min(LONGEST_RETRY_AFTER, seconds or LONGEST_RETRY_AFTER)))


def _held(workspace_id: int, *, undeclared: int) -> tuple[int, int]:
    """The bytes that a workspace's uploads hold, and the seconds until the next one ends."""
    with connection.cursor() as cursor:
        cursor.execute(sql.UPLOADS_HELD, {"workspace": workspace_id, "undeclared": undeclared})
        held, seconds = cursor.fetchone()
    return int(held), int(seconds or 0)


def remove_overflow(workspace_id: int, workspace: str) -> int:
    """Remove unclaimed files of undeclared size, the largest first, until the workspace is within its quota.

    A URL without a declared size takes as much as the store allows in one PUT, so many such files together can exceed
    the quota after it was checked. Returns the number of files removed. Raises StoreUnavailable.
    """
    # Files that have not arrived count as nothing: they must not cost others their place.
    over = _held(workspace_id, undeclared=0)[0] - settings.EVERMUSE_UPLOAD_QUOTA_BYTES
    unclaimed = UploadIntent.objects.filter(
        workspace_id=workspace_id,
        workspace__legal_hold=False,
        origin=None,
        is_cleared=False,
        size=None,
        measured_size__gt=0,
    ).order_by("-measured_size", "-id")
    removed = 0
    for intent in unclaimed[:REMOVED_AT_ONCE] if over > 0 else ():
        # The row first: a claim that comes now fails with the reason, and the sweeper removes what is left.
        if UploadIntent.objects.filter(pk=intent.pk, origin=None, is_cleared=False).update(is_cleared=True):
            store.remove(upload_area.key_for(workspace=workspace, token=intent.token))
            over -= intent.measured_size or 0
            removed += 1
        if over <= 0:
            break
    return removed


def measure_files(workspace_id: int, workspace: str) -> None:
    """Record the sizes of the newest files of undeclared size. Does nothing if the store is away."""
    unmeasured = UploadIntent.objects.filter(
        workspace_id=workspace_id, is_cleared=False, size=None, measured_size=None
    ).order_by("-id")
    for intent in unmeasured[:MEASURED_AT_ONCE]:
        try:
            size = upload_area.size_of(upload_area.key_for(workspace=workspace, token=intent.token))
        except (StoreUnavailable, urllib3.exceptions.HTTPError):
            return
        if size is not None:
            UploadIntent.objects.filter(pk=intent.pk).update(measured_size=size)
