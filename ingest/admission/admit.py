"""Admission: the path of one POST from its body to its answer.

body ▸ (idempotency: replay, 409, 422) ▸ split ▸ limits ▸ envelope check ▸ persist ▸ 202, or 400 with a FAILED batch
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from django.db import IntegrityError, transaction

from evermuse import logs, public_ids, wake
from ingest import parsers
from ingest.admission import acceptance, idempotency, room
from ingest.admission.bodies import Body
from ingest.clients.catalog import lookup_in
from ingest.clients.credentials import Credentials
from ingest.refusals import Refusal
from lake import payload_partitions
from lake.landing import TooManyAttachments, Verdict, examine

MAX_ATTACHMENTS = 1000

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Submission:
    """One POST: the client, the body, the query string and the Idempotency-Key."""

    credentials: Credentials
    body: Body
    query: str = ""
    idempotency_key: str | None = None

    def fingerprint(self) -> bytes:
        """SHA-256 of media type, query and decompressed body: requests with the same fingerprint are the same."""
        opening = json.dumps([self.body.media_type, self.query]).encode()
        return hashlib.sha256(opening + b"\0" + self.body.content).digest()


@dataclass(frozen=True, slots=True)
class Admitted:
    """A 202's body as JSON text, and whether it is a replay."""

    text: str
    is_replay: bool = False


@dataclass(frozen=True)
class _StoredBatch:
    """A batch that was stored, and the validator's verdict on it."""

    batch_id: int
    verdict: Verdict

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The 202's body; of a batch without an acceptable record, the refusal's details."""
        return _summary(public_ids.of_batch(self.batch_id), self.verdict)


def _summary(batch_id: str, verdict: Verdict) -> dict[str, Any]:
    return {
        "batchId": batch_id,
        "acceptedCount": len(verdict.accepted),
        "rejectedCount": len(verdict.rejected),
        "totalErrorCount": verdict.error_count,
        "errors": verdict.first_errors(),
    }


def admit(submission: Submission, *, confirm: Callable[[], Credentials]) -> Admitted:
    """Take a batch and return the 202's answer once it is committed. Raises the contract's refusals.

    A batch whose records were all rejected is stored too (FAILED), and then refused with VALIDATION_ERROR. ``confirm`` looks
    the key up again, and raises a refusal if it no longer allows the request: called when cached credentials are not enough.
    """
    try:
        return _admit(submission, confirm)
    except IntegrityError as error:
        if not payload_partitions.is_missing(error):
            raise
    # Nothing was stored.
    room.make_at_once()
    return _admit(submission, confirm)


def _admit(submission: Submission, confirm: Callable[[], Credentials]) -> Admitted:
    found: Verdict | Refusal | None = None
    if submission.credentials.is_cached:
        taken = _take_with_cached_key(submission)
        if isinstance(taken, _StoredBatch):
            return _answer(taken)
        is_same = (fresh := confirm()).snapshot == submission.credentials.snapshot
        submission = replace(submission, credentials=fresh)
        # A verdict on products and projects holds only if the key has the same ones now.
        if is_same or not (isinstance(taken, Verdict) and taken.has_used_catalog):
            found = taken
    if submission.idempotency_key is None:
        return _answer(_take(submission, found))
    once = _take_once(submission, submission.idempotency_key, found)
    return once if isinstance(once, Admitted) else _answer(once)


def examine_body(body: Body, credentials: Credentials) -> Verdict:
    """Split and check a body, with the limits of a batch. Raises the refusals in the contract's precedence."""
    split = parsers.split(body.content, body.media_type)
    lookup = lookup_in(credentials.workspace_id, credentials.catalog)
    try:
        verdict = examine(split.raws, lookup, are_json=split.are_json, max_attachments=MAX_ATTACHMENTS)
    except TooManyAttachments:
        message = "The batch has more than 1,000 attachments: send smaller batches."
        raise Refusal(400, "TOO_MANY_ATTACHMENTS", message) from None
    if verdict.is_mixed:
        raise Refusal(400, "MIXED_BATCH", "All records of a batch must share one _type and one _product_id.")
    return verdict


def _take_with_cached_key(submission: Submission) -> _StoredBatch | Verdict | Refusal | None:
    """Store a batch that gets a 202. Stores nothing if the key must be looked up first, or if the answer may be a replay.

    Returns what the examination found, because it takes far longer than the lookup of the key. Raises its refusals, except
    with an Idempotency-Key: a replay precedes them.
    """
    credentials, body, query = submission.credentials, submission.body, submission.query
    key = submission.idempotency_key
    try:
        verdict = examine_body(body, credentials)
    except Refusal as refusal:
        if key is None:
            raise
        return refusal
    if not verdict.accepted or (key is not None and verdict.rejected):
        return verdict
    if key is None:
        batch_id = acceptance.persist(credentials, body, query, verdict)
    else:
        answer = json.dumps(_summary(public_ids.BATCH_FORMAT, verdict))
        once = idempotency.parameters(credentials.workspace_id, key, submission.fingerprint(), answer)
        batch_id = acceptance.persist_once(credentials, body, query, verdict, once)
    return verdict if batch_id is None else _StoredBatch(batch_id, verdict)


def _take(submission: Submission, found: Verdict | Refusal | None = None) -> _StoredBatch:
    """``found``: if the body was examined already."""
    if isinstance(found, Refusal):
        raise found
    verdict = found or examine_body(submission.body, submission.credentials)
    batch_id = acceptance.persist(submission.credentials, submission.body, submission.query, verdict)
    assert batch_id is not None  # only cached credentials can be out of date
    return _StoredBatch(batch_id, verdict)


@transaction.atomic
def _take_once(submission: Submission, key: str, found: Verdict | Refusal | None) -> _StoredBatch | Admitted:
    """Store the batch together with its answer, or return the answer that the key has already."""
    workspace_id, fingerprint = submission.credentials.workspace_id, submission.fingerprint()
    stored_answer = idempotency.begin(workspace_id, key, fingerprint)
    if stored_answer is not None:
        return Admitted(stored_answer, is_replay=True)
    stored = _take(submission, found)
    if stored.verdict.accepted:
        idempotency.remember(workspace_id, key, fingerprint, stored.batch_id, json.dumps(stored.summary))
    return stored


def _answer(stored: _StoredBatch) -> Admitted:
    """The answer of a batch that is committed; raises VALIDATION_ERROR if nothing in it was accepted."""
    summary = stored.summary
    log.info(
        "batch.accepted" if stored.verdict.accepted else "batch.rejected",
        batch_id=summary["batchId"],
        accepted=summary["acceptedCount"],
        rejected=summary["rejectedCount"],
    )
    if not stored.verdict.accepted:
        raise Refusal(400, "VALIDATION_ERROR", "Every record was rejected; details says why.", details=summary)
    wake.landing(stored.batch_id)
    return Admitted(json.dumps(summary))
