"""Idempotency keys: one key, one batch, for 24 hours, also when two servers get the same request at once.

The mark "in progress" is an advisory lock of the accepting transaction: a process that is killed frees it.
"""

import hashlib
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from ingest.models import IdempotencyKey
from ingest.refusals import Refusal

LIFETIME = timedelta(hours=24)


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
    row = IdempotencyKey.objects.filter(
        workspace_id=workspace_id, key=digest, created_at__gt=timezone.now() - LIFETIME
    ).first()
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


def forget_expired(limit: int = 1000) -> int:
    """Delete keys past their lifetime, some at a time."""
    expired = IdempotencyKey.objects.filter(created_at__lt=timezone.now() - LIFETIME)
    found = list(expired.values_list("pk", flat=True)[:limit])
    # One of them may be renewed at this moment, in place: the deletion looks at the time again.
    return expired.filter(pk__in=found).delete()[0]
