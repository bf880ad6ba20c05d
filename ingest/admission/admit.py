"""Admission: what one POST goes through between its body and its answer.

body ▸ (idempotency: replay, 409, 422) ▸ split ▸ limits ▸ envelope check ▸ persist ▸ 202, or 400 with a FAILED batch
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from evermuse import logs, public_ids, wake
from ingest import parsers
from ingest.admission import acceptance, idempotency
from ingest.admission.bodies import Body
from ingest.clients.catalog import lookup_in
from ingest.clients.credentials import Credentials
from ingest.refusals import Refusal
from lake.landing import Verdict, examine

MAX_ATTACHMENTS = 1000

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Submission:
    """One POST: who, what, and under which Idempotency-Key."""

    credentials: Credentials
    body: Body
    query: str = ""
    idempotency_key: str | None = None

    def fingerprint(self) -> bytes:
        """SHA-256 of media type, query and decompressed body: what "the same request" means."""
        opening = json.dumps([self.body.media_type, self.query]).encode()
        return hashlib.sha256(opening + b"\0" + self.body.content).digest()


@dataclass(frozen=True, slots=True)
class Answer:
    """A 202's body as JSON text, and whether it is a replay."""

    text: str
    is_replay: bool = False


def admit(submission: Submission) -> Answer:
    """Take a batch. Returns the 202's answer once it is committed; raises the contract's refusals, or KeyMustBeAsked.

    A batch whose records were all rejected is stored too (FAILED), and then refused with VALIDATION_ERROR.
    """
    if submission.idempotency_key is None:
        answer, refusal, batch_id = _take(submission)
    else:
        if submission.credentials.is_remembered:
            raise acceptance.KeyMustBeAsked  # the answer may be an old one
        with transaction.atomic():
            remembered = idempotency.begin(
                submission.credentials.workspace_id, submission.idempotency_key, submission.fingerprint()
            )
            if remembered is not None:
                return Answer(remembered, is_replay=True)
            answer, refusal, batch_id = _take(submission)
            if refusal is None:
                idempotency.remember(
                    submission.credentials.workspace_id,
                    submission.idempotency_key,
                    submission.fingerprint(),
                    batch_id,
                    answer,
                )
    if refusal is not None:
        raise refusal
    wake.landing(batch_id)
    return Answer(answer)


def examine_body(body: Body, credentials: Credentials) -> Verdict:
    """Split and check a body, with the limits of a batch. Raises the refusals in the contract's precedence."""
    verdict = examine(
        parsers.split(body.content, body.media_type),
        lookup_in(credentials.workspace_id, credentials.catalog),
        are_json=parsers.are_json(body.media_type),
    )
    if verdict.attachment_count > MAX_ATTACHMENTS:
        raise Refusal(400, "TOO_MANY_ATTACHMENTS", "The batch holds more than 1,000 attachments: send smaller batches.")
    if verdict.is_mixed:
        raise Refusal(400, "MIXED_BATCH", "All records of a batch must share one _type and one _product_id.")
    return verdict


def _take(submission: Submission) -> tuple[str, Refusal | None, int]:
    verdict = examine_body(submission.body, submission.credentials)
    batch_id = acceptance.persist(submission.credentials, submission.body, submission.query, verdict)
    summary: dict[str, Any] = {
        "batchId": public_ids.of_batch(batch_id),
        "acceptedCount": len(verdict.accepted),
        "rejectedCount": len(verdict.rejected),
        "totalErrorCount": verdict.error_count,
        "errors": verdict.first_errors(),
    }
    log.info(
        "batch.accepted" if verdict.accepted else "batch.rejected",
        batch_id=summary["batchId"],
        accepted=summary["acceptedCount"],
        rejected=summary["rejectedCount"],
    )
    refusal = None
    if not verdict.accepted:
        refusal = Refusal(400, "VALIDATION_ERROR", "Every record was rejected; details says why.", details=summary)
    return json.dumps(summary), refusal, batch_id
