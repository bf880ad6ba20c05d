"""Idempotency keys: a key makes one batch, even if two servers get the same request at once.

A key is kept for 24 hours, or longer by a setting. "In progress" is an advisory lock of the accepting transaction, so it is
released if the process is killed.
"""

import hashlib
from datetime import datetime

from django.db import IntegrityError, connection
from django.db.models import QuerySet
from django.utils import timezone

from evermuse import prepared, retention
from ingest.models import IdempotencyKey
from ingest.refusals import Refusal

# The constraint that allows one answer for each key.
ONCE = "idempotency_key_once"


def _oldest() -> datetime:
    """Answers older than this are not repeated."""
    return ANSWERS.before(timezone.now())


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _lock(workspace_id: int, digest: bytes) -> int:
    return int.from_bytes(hashlib.sha256(b"%d:" % workspace_id + digest).digest()[:8], "big", signed=True)


def parameters(workspace_id: int, key: str, fingerprint: bytes, answer: str) -> dict[str, prepared.Parameter]:
    """What `sql.ACCEPT_ONCE_IF_KEY_IS_UNCHANGED` needs to know of an Idempotency-Key. ``answer``: see there."""
    digest = _digest(key)
    return {
        "idempotency_key": digest,
        "idempotency_lock": _lock(workspace_id, digest),
        "fingerprint": fingerprint,
        "answer": answer,
    }


def is_answered(error: IntegrityError) -> bool:
    """Whether an insert failed because another request with the key was answered meanwhile."""
    diagnosis = getattr(error.__cause__, "diag", None)
    return diagnosis is not None and diagnosis.constraint_name == ONCE


def begin(workspace_id: int, key: str, fingerprint: bytes) -> str | None:
    """The stored answer, or None with the key locked until the transaction ends.

    Raises 409 while another request has it locked, and 422 if it was used for another body, media type or query.
    """
    digest = _digest(key)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_lock(workspace_id, digest)])
        if not cursor.fetchone()[0]:
            raise Refusal(
                409, "IDEMPOTENCY_IN_PROGRESS", "A request with this Idempotency-Key is in progress.", retry_after=1
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
    """Store an accepted answer in the transaction that locked the key. Replaces an expired one."""
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
    # A key that is renewed meanwhile no longer matches when its row is deleted.
    return IdempotencyKey.objects.filter(created_at__lt=before)


ANSWERS = retention.of_rows(
    "idempotency-answers", "Answers to Idempotency-Keys", "EVERMUSE_IDEMPOTENCY_RETENTION_DAYS", _expired
)
