"""The path of a batch.

    POST ─▶ admission ─▶ LANDING   claim ▸ parse ▸ validate ▸ normalize ▸ identify ▸ archive (segments, object store)
                         LANDED    one transaction: records, outcomes, rejected ones, attachments, counts, state
                         PROCESSING  processors, attachment download among them
                         COMPLETE  when all of them are settled

A worker claims waiting batches of one workspace together, so that many small batches cost one claim, one catalog query and
one transaction. A worker may be killed at any step: its lease ends, the next worker starts again, and the token keeps the
old one from writing. From the claim to the commit, lists of the workspace's records end before the records that this
landing will write (`lake.horizon`).
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import OperationalError, transaction

from evermuse import logs, public_ids, retry_policy, wake
from evermuse.errors import DEPLOYMENT_FAULTS, LeaseLost
from ingest import failure_codes, parsers
from ingest.clients import catalog
from ingest.models import Batch
from ingest.pipeline import claims, incoming, leases, processing, transitions
from ingest.pipeline.claims import Claim
from ingest.pipeline.incoming import Incoming
from ingest.pipeline.pause import Pause
from ingest.pipeline.transitions import LandedCounts
from lake import index, outcomes, rejections
from lake.journal import notes
from lake.landing import LandedRecord, Verdict, examine, prepare
from lake.processors import LandingBatch
from lake.segments import dead_lines, registry, storing
from lake.segments.registry import Draft, Partition
from lake.segments.writer import Line, LineBatch

log = logs.get(__name__)

# A landing task ends after this time, so that the worker can stop.
TASK_SECONDS = 5.0

_pause = Pause()


@dataclass(slots=True)
class Landing:
    """A claimed batch while it lands."""

    claim: Claim
    batch: Incoming
    verdict: Verdict
    records: list[LandedRecord]
    segment: Draft | None = None

    @property
    def partition(self) -> Partition:
        """What the records of its segment have in common."""
        batch = self.batch
        day = batch.accepted_at.astimezone(UTC).date()
        return Partition(batch.workspace_id, batch.workspace, batch.source, self.verdict.type, day)


def land_waiting() -> int:
    """Claim and land until nothing waits, for at most `TASK_SECONDS`. Returns the number of batches that landed.

    If batches still wait after that, it publishes a wake-up for them and returns: a worker can stop between two tasks.
    After a fault of the deployment it does nothing for a while (`ingest.pipeline.pause`); the sweeper sends new wake-ups.
    """
    landed = 0
    ends_at = time.monotonic() + TASK_SECONDS
    while not _pause.is_on:
        try:
            claimed = claims.claim(is_patient=True)
        except claims.Gathering as gathering:
            claims.await_company(gathering.workspace_ids)
            continue
        if not claimed:
            break
        landed += land(claimed)
        if time.monotonic() >= ends_at:
            wake.publish(wake.LAND, [])
            break
    return landed


def land(claimed: Sequence[Claim]) -> int:
    """Land claimed batches together. Returns how many landed.

    A fault releases the claims. A claim that is not released ends with its lease.
    """
    try:
        with leases.keeping(claimed):
            landings = _parse(claimed)
            ready = _archive(landings)
            done = _commit(ready) if ready else []
    except OperationalError as error:
        log.warning("landing.database_fault", error=str(error).strip()[:200], batch_ids=_named(claimed))
        claims.release(claimed, policy=retry_policy.LANDING_DATABASE, failure=failure_codes.database_unavailable(error))
        return 0
    except DEPLOYMENT_FAULTS as error:
        _release_blameless(claimed, error)
        return 0
    except Exception as error:
        log.exception("landing.failed", batch_ids=_named(claimed))
        claims.release(
            claimed, policy=retry_policy.LANDING_FAULT, failure=failure_codes.unexpected(error), crashed=True
        )
        return 0
    if done:
        _pause.end()
    processing.advance(done, are_fresh=True)
    return len(done)


def _release_blameless(claimed: Sequence[Claim], error: Exception) -> None:
    """Give claims back after a fault of the deployment, and pause.

    While other batches land, the fault may come from a batch after all. Then it counts as a crash, so that the batch is
    claimed alone and given up in the end.
    """
    others_land = Batch.objects.filter(landed_at__gt=claimed[0].at).exists()
    claims.release(
        claimed,
        policy=retry_policy.LANDING_DEPLOYMENT,
        failure=failure_codes.deployment_fault(error),
        crashed=others_land,
    )
    paused = round(_pause.lengthen(), 1)
    reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    log.exception("landing.deployment_fault", error=reason, batch_ids=_named(claimed), paused_seconds=paused)


def _named(claimed: Sequence[Claim]) -> list[str]:
    return [public_ids.of_batch(claim.batch_id) for claim in claimed]


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
    """Write a segment for each partition. Batches whose segment could not be stored are released and wait."""
    parts: dict[Partition, list[Landing]] = {}
    for landing in landings:
        if landing.records:
            parts.setdefault(landing.partition, []).append(landing)
    for partition, stored in storing.store({one: _lines(members) for one, members in parts.items()}).items():
        members = parts[partition]
        if isinstance(stored, Draft):
            for landing in members:
                landing.segment = stored
        else:
            batch_ids = [landing.batch.public_id for landing in members]
            log.warning("landing.store_away", batch_ids=batch_ids, error=str(stored)[:200])
            given_back = [landing.claim for landing in members]
            claims.release(
                given_back, policy=retry_policy.LANDING_STORE, failure=failure_codes.store_unavailable(stored)
            )
    return [landing for landing in landings if landing.segment or not landing.records]


def _lines(landings: Sequence[Landing]) -> list[Line]:
    """The lines of these batches, one batch after the other."""
    lines: list[Line] = []
    for landing in sorted(landings, key=lambda landing: landing.claim.batch_id):
        batch = LineBatch(landing.claim.batch_id, landing.batch.source, landing.batch.accepted_at)
        for record in landing.records:
            place = record.place
            lines.append(Line(batch, record.index, place.offset, place.size, record.key, record.normalized.document))
    return lines


def _commit(landings: Sequence[Landing]) -> list[int]:
    """Write everything that landing changes in one transaction. A claim that was lost changes nothing."""
    with transaction.atomic():
        held = set(claims.hold([landing.claim for landing in landings]))
        live = _publish(landings, held)
        landed = [one for one in landings if one.claim in held and (one.segment is None or one.segment.id in live)]
        if landed:
            _write(landed)
    _give_back([one for one in landings if one.segment and one.segment.id not in live], held)
    if ids := [landing.batch.public_id for landing in landed if landing.records]:
        log.info("batch.landed", batch_ids=ids)
    if failed := [landing.batch.public_id for landing in landed if not landing.records]:
        log.warning("batch.failed", batch_ids=failed, reason=failure_codes.ALL_REJECTED)
    return [landing.claim.batch_id for landing in landed if landing.records]


def _publish(landings: Sequence[Landing], held: set[Claim]) -> set[int]:
    """Make segments live, except those with lines of a lost claim. The worker that has the claim writes these lines again."""
    ids = {landing.segment.id for landing in landings if landing.segment}
    lost = {landing.segment.id for landing in landings if landing.segment and landing.claim not in held}
    return registry.publish(sorted(ids - lost))


def _give_back(landings: Sequence[Landing], held: set[Claim]) -> None:
    """Abandon segments that did not become live, and release the claims that are still held, so that their batches land again."""
    if not landings:
        return
    registry.give_up(sorted({landing.segment.id for landing in landings if landing.segment}))
    log.warning("landing.segment_lost", batch_ids=[landing.batch.public_id for landing in landings])
    if standing := [landing.claim for landing in landings if landing.claim in held]:
        error = LeaseLost("another worker has a batch of the same segment")
        claims.release(standing, policy=retry_policy.LANDING_FAULT, failure=failure_codes.unexpected(error))


def _write(landings: Sequence[Landing]) -> None:
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
    dead_lines.count(_dead_lines(landings, indexed))
    outcomes.store(indexed, {landing.claim.batch_id: landing.verdict for landing in landings})
    registry.point(
        [(one.claim.batch_id, one.segment.id, one.segment.spans[one.claim.batch_id]) for one in landings if one.segment]
    )
    rejections.finalize({landing.claim.batch_id: landing.verdict for landing in landings})
    processing.prepare(
        [
            LandingBatch(landing.claim.batch_id, landing.batch.workspace_id, landing.records)
            for landing in landings
            if landing.records
        ]
    )
    transitions.mark_landed([_counts(landing) for landing in landings])
    _note(landings)


def _dead_lines(landings: Sequence[Landing], indexed: Sequence[index.IndexedBatch]) -> dict[int, int]:
    """The lines of each segment that no version needs."""
    dead: Counter[int] = Counter()
    for landing, batch in zip(landings, indexed, strict=True):
        if landing.segment:
            dead[landing.segment.id] += sum(letter in index.NEEDLESS for letter in batch.outcomes.values())
    return {segment_id: lines for segment_id, lines in dead.items() if lines}


def _note(landings: Sequence[Landing]) -> None:
    """Insert the journal's entries, as the last statements of the transaction. Batches that were claimed together share
    one."""
    together: dict[tuple[int, datetime], list[int]] = {}
    for landing in landings:
        together.setdefault((landing.claim.workspace_id, landing.claim.at), []).append(landing.claim.batch_id)
    for (workspace_id, at), batch_ids in together.items():
        notes.landed(workspace_id, at, batch_ids)


def _counts(landing: Landing) -> LandedCounts:
    if landing.records:
        return LandedCounts(landing.claim, Batch.Status.LANDED, landing.verdict)
    return LandedCounts(landing.claim, Batch.Status.FAILED, landing.verdict, failure_codes.EVERY_RECORD_REJECTED)
