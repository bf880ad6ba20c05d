"""Lands batches again that are missing from a restored database: from the lines of their segments, and from the journal.

The body of the request is lost, so rejected records are only counted, and the records are read from the segment, as after
retention has removed the payload. The batch has its old id, so a version of a record that was accepted later still wins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from django.db import transaction
from django.utils import timezone

from evermuse import logs, prepared, public_ids
from evermuse.binary_arrays import byteas, int8s
from evermuse.errors import ArchiveDamaged
from evermuse.instants import from_microseconds
from ingest.models import Batch
from ingest.pipeline import processing
from lake import horizon, index, outcomes, reading
from lake.frames import Place
from lake.index import REJECTED, IndexedBatch
from lake.journal import notes
from lake.landing import LandedRecord, landed
from lake.processors import LandingBatch
from lake.restore import adopting, unknown_segments
from lake.restore.history import History
from lake.restore.unknown_segments import Unit

log = logs.get(__name__)

# Batches of one transaction.
AT_ONCE = 64


@dataclass(slots=True)
class LandedAgain:
    """What was landed again. ``rejected``: records that are only counted, because their bytes are lost."""

    batch_ids: list[int]
    records: int = 0
    rejected: int = 0


def land(units: Sequence[Unit], histories: Mapping[int, History]) -> LandedAgain:
    """Land batches again, in the order of their acceptance. ``histories``: by workspace.

    Raises StoreUnavailable and ArchiveDamaged. What was landed until then stays, and the next call lands the rest.
    """
    done = LandedAgain([])
    ordered = sorted(units, key=lambda unit: unit.part.number)
    for workspace_id, members in groupby(ordered, key=lambda unit: unit.segment.workspace_id):
        together = list(members)
        for at in range(0, len(together), AT_ONCE):
            _land(workspace_id, together[at : at + AT_ONCE], histories[workspace_id], done)
    return done


def _land(workspace_id: int, units: Sequence[Unit], history: History, done: LandedAgain) -> None:
    records = {unit.part.number: _records(unit, history) for unit in units}
    with transaction.atomic():
        at = horizon.draw(workspace_id)
        batches = [_batch(unit, history, records[unit.part.number], at) for unit in units]
        Batch.objects.bulk_create(batches)
        indexed = [
            IndexedBatch(batch.pk, workspace_id, batch.created_at, at, records[batch.pk])
            for batch in batches
            if records[batch.pk]
        ]
        index.upsert(indexed)
        _store_outcomes(batches, history, {one.sequence: one for one in indexed})
        adopting.point(units)
        processing.prepare([LandingBatch(one.sequence, workspace_id, one.records) for one in indexed])
        notes.landed(workspace_id, at, [batch.pk for batch in batches])
    ids = [batch.pk for batch in batches]
    log.info("batch.landed_again", batch_ids=[public_ids.of_batch(number) for number in ids])
    done.batch_ids += ids
    done.records += sum(map(len, records.values()))
    done.rejected += sum(batch.rejected_count for batch in batches)
    processing.advance(ids)


def _records(unit: Unit, history: History) -> list[LandedRecord]:
    """The records of a batch that were not removed since."""
    found: list[LandedRecord] = []
    for line in unknown_segments.lines(unit):
        normalized = reading.relaxed(line.document)
        if normalized is None:
            raise ArchiveDamaged(f"a line of {public_ids.of_batch(unit.part.number)} is no record")
        place = Place(unit.part.number, line.offset, line.size)
        record = landed(line.index, normalized, unit.segment.workspace_id, place)
        if record.key != line.key:
            raise ArchiveDamaged("a segment belongs to another workspace than its key says")
        if history.outlives(record.id, unit.part.number):
            found.append(record)
    return found


def _batch(unit: Unit, history: History, records: Sequence[LandedRecord], landed_at: datetime) -> Batch:
    """Without the journal, the number of records sent is unknown. The indexes of the records give a lower bound."""
    told = history.landed.get(unit.part.number)
    count = len(told.batch.outcomes) if told else _sent(records)
    rejected = told.batch.outcomes.count(REJECTED) if told else count - len(records)
    return Batch(
        id=unit.part.number,
        workspace_id=unit.segment.workspace_id,
        source=unit.part.source,
        type=unit.segment.type,
        status=Batch.Status.LANDED,
        created_at=from_microseconds(unit.part.accepted_at),
        record_count=count,
        accepted_count=count - rejected,
        rejected_count=rejected,
        error_count=rejected,
        attempts=1,
        landed_at=max(landed_at, timezone.now()),
    )


def _sent(records: Sequence[LandedRecord]) -> int:
    return max((record.index for record in records), default=-1) + 1


def _store_outcomes(batches: Sequence[Batch], history: History, indexed: Mapping[int, IndexedBatch]) -> None:
    """Store the outcomes from the journal, or else those of the repeated landing."""
    columns = [_outcomes(batch.pk, history, indexed.get(batch.pk)) for batch in batches]
    letters, ids = [text for text, _ in columns], [content for _, content in columns]
    prepared.rows(outcomes.STORE, [int8s([batch.pk for batch in batches]), letters, byteas(ids)])


def _outcomes(batch_id: int, history: History, indexed: IndexedBatch | None) -> tuple[str, bytes]:
    if told := history.landed.get(batch_id):
        return told.batch.outcomes, bytes.fromhex(told.batch.record_ids)
    records = indexed.records if indexed else ()
    letters = [REJECTED] * _sent(records)
    ids = [outcomes.NO_RECORD] * len(letters)
    for record in records:
        letters[record.index] = indexed.outcomes[record.index] if indexed else REJECTED
        ids[record.index] = record.key
    return "".join(letters), b"".join(ids)
