"""Retention of attachments' own rows: download attempts (the ledger's detail) and upload intents."""

from collections.abc import Sequence
from datetime import datetime

from django.db import connection
from django.db.models import Q, QuerySet

from attachments.models import Attachment, UploadIntent
from attachments.sql import retention as sql
from evermuse import retention

_SETTLED = [Attachment.State.COMPLETE, Attachment.State.FAILED]


def ledgers_of(after: int, until: int, limit: int) -> list[tuple[int, int]]:
    """Batches whose ledger has attempts, with their number, by id, after ``after`` and up to ``until``."""
    with connection.cursor() as cursor:
        cursor.execute(sql.LEDGERS, [after, until, limit])
        return list(cursor.fetchall())


def expirable(batch_ids: Sequence[int], before: datetime) -> list[int]:
    """Batches whose files have all settled, and whose last attempt ended before an instant and left nothing in the store.

    Their counters stay locked until the caller's transaction ends, so that a retry waits.
    """
    with connection.cursor() as cursor:
        cursor.execute(sql.EXPIRABLE, {"batches": list(batch_ids), "before": before})
        return [row[0] for row in cursor.fetchall()]


def remove_attempts(batch_ids: Sequence[int]) -> int:
    """Remove the attempts of these batches and mark their ledgers as expired. Returns the number of attempts."""
    with connection.cursor() as cursor:
        cursor.execute(sql.REMOVE_ATTEMPTS, {"batches": list(batch_ids)})
        return int(cursor.fetchone()[0])


def _uploads(before: datetime) -> QuerySet[UploadIntent]:
    # An intent whose object is still in the upload area stays, because it is needed to remove the object.
    is_over = Q(attachment=None) | Q(attachment__state__in=_SETTLED)
    return UploadIntent.objects.filter(is_over, is_cleared=True, expires_at__lt=before, workspace__legal_hold=False)


UPLOADS = retention.of_rows("uploads", "Expired uploads", "EVERMUSE_UPLOAD_RETENTION_DAYS", _uploads, shown="token")
