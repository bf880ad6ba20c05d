"""The storing of a batch: one commit, which is what a 202 stands for."""

import json

from django.db import transaction

from evermuse import prepared
from ingest import sql
from ingest.admission.bodies import Body
from ingest.clients.credentials import Credentials, parameters
from ingest.models import Batch
from lake import frames, rejections
from lake.landing import Verdict
from lake.models import Payload

Status = Batch.Status


class KeyMustBeAsked(Exception):
    """What is remembered of a key is not enough to answer by."""


def persist(credentials: Credentials, body: Body, query: str, verdict: Verdict) -> int:
    """Store batch and payload in one commit (or in the caller's transaction) and give the sequence number.

    Rejected records are kept in the same transaction. A batch with nothing acceptable is FAILED at once. Raises
    KeyMustBeAsked, with nothing stored, when remembered credentials hold no more or do not suffice.
    """
    status = Status.LANDING if verdict.accepted else Status.FAILED
    content, ends = frames.pack(body.content)
    values: list[prepared.Parameter] = [
        credentials.workspace_id,
        credentials.api_key_id,
        credentials.source,
        verdict.type,
        status,
        verdict.record_count,
        len(verdict.accepted),
        len(verdict.rejected),
        verdict.error_count,
        json.dumps(verdict.first_errors()),
        "" if verdict.accepted else "every record was rejected",
        body.media_type,
        query[:64],
        len(body.content),
        ends,
        content,
    ]
    statement = sql.ACCEPT
    if credentials.is_remembered:
        if not verdict.accepted:
            raise KeyMustBeAsked
        statement = sql.ACCEPT_IF_KEY_IS_SAME
        values[sql.ACCEPT_KEY_AT : sql.ACCEPT_KEY_AT] = [*parameters(credentials.digest), credentials.snapshot]
    if not verdict.rejected:
        return _insert(statement, values)
    with transaction.atomic():
        batch_id = _insert(statement, values)
        rejections.store({batch_id: verdict}, is_final=status == Status.FAILED)
    return batch_id


def _insert(statement: str, values: list[prepared.Parameter]) -> int:
    batch_id = prepared.value(statement, values)
    if batch_id is None:
        raise KeyMustBeAsked
    return int(batch_id)


def content_of(payload: Payload) -> bytes:
    """The body as it was sent, decompressed."""
    return frames.unpack(bytes(payload.content), payload.frames, payload.size)
