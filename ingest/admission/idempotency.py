"""Idempotency keys: one key, one batch, for 24 hours unless a setting says longer, also when two servers get the same request
at once.

The mark "in progress" is an advisory lock of the accepting transaction: a process that is killed frees it.
"""

import hashlib
from datetime import datetime

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from evermuse import retention
from ingest.models import IdempotencyKey
from ingest.refusals import Refusal


def _oldest() -> datetime:
    """Older answers are not repeated."""
    return ANSWERS.before(timezone.now())


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def begin(workspace_id: int, key: str, fingerprint: bytes) -> str | None:
    """The remembered answer, or None with the key held until the transaction ends.

    Raises 409 while another request holds it and 422 when it stands for another body or query.
    """
    digest = _digest(key)
    lock = int.from_bytes(hashlib.sha256(b"%d:" % workspace_id + digest).digest()[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [lock])
        if not cursor.fetchone()[0]:
            raise Refusal(
                409, "IDEMPOTENCY_IN_PROGRESS", "A request with this Idempotency-Key is being handled.", retry_after=1
            )
    row = IdempotencyKey.objects.filter(workspace_id=workspace_id, key=digest, created_at__gt=_oldest()).first()
    if row is None:
        return None
    if bytes(row.fingerprint) != fingerprint:
        raise Refusal(
            422, "IDEMPOTENCY_KEY_REUSED", "This Idempotency-Key was used for another body, media type or query."
        )
    return row.answer


def remember(workspace_id: int, key: str, fingerprint: bytes, batch_id: int, answer: str) -> None:
    """Keep an accepted answer, in the transaction that holds the key; an expired one is replaced."""
    IdempotencyKey.objects.update_or_create(
        workspace_id=workspace_id,
        key=_digest(key),
        defaults={
            "fingerprint": fingerprint,
            "batch_id": batch_id,
            "answer": answer,
            "created_at": timezone.now(),
        },
    )


def _expired(before: datetime) -> QuerySet[IdempotencyKey]:
    # One that is renewed at this moment, in place, is no longer among them when its row is deleted.
    return IdempotencyKey.objects.filter(created_at__lt=before)


ANSWERS = retention.of_rows(
    "idempotency-answers", "Answers to Idempotency-Keys", "EVERMUSE_IDEMPOTENCY_RETENTION_DAYS", _expired
)
