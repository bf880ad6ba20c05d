"""Stores a batch. Its commit comes before the 202."""

import json
from collections.abc import Mapping

from django.db import IntegrityError, OperationalError, transaction

from evermuse import prepared
from evermuse.answer_deadline import NoAnswer
from evermuse.errors import OutcomeUnknown
from ingest import sql
from ingest.admission import idempotency
from ingest.admission.bodies import Body
from ingest.clients.credentials import Credentials, key_parameters
from ingest.failure_codes import EVERY_RECORD_REJECTED
from ingest.models import Batch
from lake import frames, rejections
from lake.landing import Verdict
from lake.models import Payload

Status = Batch.Status


def persist_once(
    credentials: Credentials, body: Body, query: str, verdict: Verdict, once: Mapping[str, prepared.Parameter]
) -> int | None:
    """Like `persist` with cached credentials, for a batch without rejected records that has an Idempotency-Key.

    Returns None and stores nothing also if the key has an answer, or another request has it. ``once``: see
    `idempotency.parameters`.
    """
    parameters = {
        **_parameters(credentials, body, query, verdict),
        **key_parameters(credentials.digest),
        **once,
        "snapshot": credentials.snapshot,
    }
    try:
        return _insert(sql.ACCEPT_ONCE_IF_KEY_IS_UNCHANGED, parameters)
    except IntegrityError as error:
        if idempotency.is_answered(error):
            return None
        raise


def persist(credentials: Credentials, body: Body, query: str, verdict: Verdict) -> int | None:
    """Store batch and payload in one commit (or in the caller's transaction) and return the sequence number.

    Rejected records are stored in the same transaction. A batch without an acceptable record is FAILED at once. With cached
    credentials, returns None and stores nothing if the key has changed since it was cached. Raises OutcomeUnknown if the
    connection was lost during the commit.
    """
    statement = sql.ACCEPT
    parameters = _parameters(credentials, body, query, verdict)
    if credentials.is_cached:
        statement = sql.ACCEPT_IF_KEY_IS_UNCHANGED
        parameters |= {**key_parameters(credentials.digest), "snapshot": credentials.snapshot}
    if not verdict.rejected:
        return _insert(statement, parameters)
    is_complete = False
    try:
        with transaction.atomic():
            batch_id = _insert(statement, parameters)
            if batch_id is not None:
                rejections.store({batch_id: verdict}, is_final=not verdict.accepted)
            is_complete = True
    except OperationalError as error:
        # Without a code it is the client's error; 08P01 is PgBouncer's.
        if (
            is_complete
            and not isinstance(error.__cause__, NoAnswer)
            and getattr(error.__cause__, "sqlstate", "") in (None, "08P01")
        ):
            raise OutcomeUnknown from error
        raise
    return batch_id


def _parameters(credentials: Credentials, body: Body, query: str, verdict: Verdict) -> dict[str, prepared.Parameter]:
    content, ends = frames.pack(body.content)
    return {
        "workspace_id": credentials.workspace_id,
        "api_key_id": credentials.api_key_id,
        "source": credentials.source,
        "type": verdict.type,
        "status": Status.LANDING if verdict.accepted else Status.FAILED,
        "record_count": verdict.record_count,
        "accepted_count": len(verdict.accepted),
        "rejected_count": len(verdict.rejected),
        "error_count": verdict.error_count,
        "first_errors": json.dumps(verdict.first_errors()),
        "failure": "" if verdict.accepted else EVERY_RECORD_REJECTED.text,
        "failure_code": "" if verdict.accepted else EVERY_RECORD_REJECTED.code,
        "media_type": body.media_type,
        "query": query[:64],
        "size": len(body.content),
        "frames": ends,
        "content": content,
    }


def _insert(statement: str, parameters: dict[str, prepared.Parameter]) -> int | None:
    try:
        batch_id = prepared.value(statement, parameters)
    except OperationalError as error:
        # A 503 says that nothing was stored, so it must not be the answer here.
        if isinstance(error.__cause__, prepared.ConnectionLost):
            raise OutcomeUnknown from error
        raise
    return None if batch_id is None else int(batch_id)


def content_of(payload: Payload) -> bytes:
    """The body as it was sent, decompressed."""
    return frames.unpack(bytes(payload.content), payload.frames, payload.size)
