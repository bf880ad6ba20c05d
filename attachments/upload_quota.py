"""The limit on a workspace's unclaimed uploads. It is exact under concurrency."""

from dataclasses import dataclass

import urllib3
from django.conf import settings
from django.db import connection

from attachments import sql
from attachments.fetch import upload_area
from attachments.models import UploadIntent
from evermuse.advisory_locks import AdvisoryLock
from evermuse.errors import StoreUnavailable

# Until it is measured, a file of undeclared size counts as this share of the quota.
UNDECLARED_SHARE = 256
# How many such files are measured when the next intent is made. The sweeper measures the others.
MEASURED_AT_ONCE = 16
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
    quota = settings.EVERMUSE_UPLOAD_QUOTA_BYTES
    undeclared = quota // UNDECLARED_SHARE
    with connection.cursor() as cursor:
        cursor.execute(sql.LOCK_UPLOADS, {"lock": AdvisoryLock.UPLOAD_QUOTA, "workspace": workspace_id})
        cursor.execute(sql.UPLOADS_HELD, {"workspace": workspace_id, "undeclared": undeclared})
        held, seconds = cursor.fetchone()
    if held + (undeclared if size is None else size) > quota:
        raise QuotaFull(held, max(1, min(LONGEST_RETRY_AFTER, int(seconds or LONGEST_RETRY_AFTER))))


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
