"""The whole path of a batch, on one screen.

    POST ─▶ admission ─▶ LANDING   claim ▸ parse ▸ validate ▸ normalize ▸ identify ▸ archive (object store)
                         LANDED    one transaction: records, outcomes, rejected ones, attachments, counts, state
                         PROCESSING  processors, attachment download among them
                         COMPLETE  when all of them are settled

A worker that wakes up claims what waits of one workspace, so that many small batches cost one claim, one catalog query
and one transaction. Any step may be killed: the lease runs out, the next worker begins again, the fence keeps the old one
out. From the claim to the commit the workspace's lists of records end before what this landing will write (`lake.horizon`).
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from django.db import OperationalError, transaction

from evermuse import logs, public_ids, retry_policy, wake
from evermuse.errors import StoreUnavailable
from ingest import failures, parsers
from ingest.clients import catalog
from ingest.models import Batch
from ingest.pipeline import claims, incoming, leases, processing, transitions
from ingest.pipeline.claims import Claim
from ingest.pipeline.incoming import Incoming
from ingest.pipeline.transitions import LandedCounts
from lake import archive, index, outcomes, rejections
from lake.landing import LandedRecord, Verdict, examine, prepare
from lake.processors import LandingBatch

log = logs.get(__name__)

# A landing task runs this long at most before it makes room for a stop.
TASK_SECONDS = 5.0
_uploads = ThreadPoolExecutor(16, thread_name_prefix="archive")


@dataclass(slots=True)
class Landing:
    """A claimed batch on its way."""

    claim: Claim
    batch: Incoming
    verdict: Verdict
    records: list[LandedRecord]
    archived: archive.Archive | None = None


def land_waiting() -> int:
    """Claim and land until nothing waits, for at most `TASK_SECONDS`; returns the number of batches that landed.

    If batches still wait after that, it publishes a wake-up for them and returns: a worker can stop between two tasks.
    """
    landed = 0
    ends_at = time.monotonic() + TASK_SECONDS
    while claimed := claims.claim():
        landed += land(claimed)
        if time.monotonic() >= ends_at:
            wake.publish(wake.LAND, [])
            break
    return landed


def land(claimed: Sequence[Claim]) -> int:
    """Land claimed batches together; returns how many landed.

    A fault releases the claims. A claim that is not released ends with its lease.
    """
    try:
        with leases.keeping(claimed):
            landings = _parse(claimed)
            ready = _archive(landings)
            done = _commit(ready) if ready else []
    except OperationalError as error:
        log.warning("landing.database_fault", error=str(error).strip()[:200], batches=len(claimed))
        claims.release(claimed, policy=retry_policy.LANDING_DATABASE, failure=failures.database_unavailable(error))
        return 0
    except Exception as error:
        log.exception("landing.failed", batch_ids=[public_ids.of_batch(claim.batch_id) for claim in claimed])
        claims.release(claimed, policy=retry_policy.LANDING_FAULT, failure=failures.unexpected(error), crashed=True)
        return 0
    processing.advance(done, are_fresh=True)
    return len(done)


def _parse(claimed: Sequence[Claim]) -> list[Landing]:
    batches = incoming.read(claimed)
    landings: list[Landing] = []
    lookup = catalog.remembering()
    for claim in claimed:
        batch = batches[claim.batch_id]
        body = batch.body()
        split = parsers.split(body, batch.media_type)
        verdict = examine(split.raws, lookup(batch.workspace_id), are_json=split.are_json)
        records = prepare(verdict.accepted, batch.workspace_id, split.places(batch.id))
        landings.append(Landing(claim, batch, verdict, records))
    return landings


def _archive(landings: Sequence[Landing]) -> list[Landing]:
    """Write the objects, several at a time; batches that the store did not take go back and wait."""
    ready: list[Landing] = []
    waiting = [(landing, _uploads.submit(_store, landing)) for landing in landings]
    for landing, upload in waiting:
        try:
            landing.archived = upload.result()
            ready.append(landing)
        except StoreUnavailable as error:
            log.warning("landing.store_away", batch_id=landing.batch.public_id, error=str(error)[:200])
            claims.release(
                [landing.claim], policy=retry_policy.LANDING_STORE, failure=failures.store_unavailable(error)
            )
    return ready


def _store(landing: Landing) -> archive.Archive | None:
    if not landing.records:
        return None
    batch = landing.batch
    return archive.store(
        landing.records,
        workspace=batch.workspace,
        source=batch.source,
        type=landing.verdict.type,
        accepted_at=batch.accepted_at,
        batch=batch.public_id,
    )


def _commit(landings: Sequence[Landing]) -> list[int]:
    """One transaction for everything that landing changes; claims that were lost meanwhile change nothing."""
    with transaction.atomic():
        held = set(claims.hold([landing.claim for landing in landings]))
        landings = [landing for landing in landings if landing.claim in held]
        if not landings:
            return []
        indexed = [
            index.IndexedBatch(
                sequence=landing.claim.batch_id,
                workspace_id=landing.batch.workspace_id,
                accepted_at=landing.batch.accepted_at,
                changed_at=landing.claim.at,
                records=landing.records,
            )
            for landing in landings
        ]
        index.upsert(indexed)
        outcomes.store(indexed, {landing.claim.batch_id: landing.verdict for landing in landings})
        outcomes.note_archives({landing.claim.batch_id: landing.archived for landing in landings})
        rejections.finalize({landing.claim.batch_id: landing.verdict for landing in landings})
        processing.prepare(
            [
                LandingBatch(landing.claim.batch_id, landing.batch.workspace_id, landing.records)
                for landing in landings
                if landing.records
            ]
        )
        transitions.mark_landed([_counts(landing) for landing in landings])
    if landed := [landing.batch.public_id for landing in landings if landing.records]:
        log.info("batch.landed", batch_ids=landed)
    if failed := [landing.batch.public_id for landing in landings if not landing.records]:
        log.warning("batch.failed", batch_ids=failed, reason=failures.ALL_REJECTED)
    return [landing.claim.batch_id for landing in landings if landing.records]


def _counts(landing: Landing) -> LandedCounts:
    if landing.records:
        return LandedCounts(landing.claim, Batch.Status.LANDED, landing.verdict)
    return LandedCounts(landing.claim, Batch.Status.FAILED, landing.verdict, failures.EVERY_RECORD_REJECTED)
