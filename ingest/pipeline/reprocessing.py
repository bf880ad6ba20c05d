"""Reprocessing: reads a batch's archive object again, and restores missing or damaged rows of the index."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from evermuse import logs, public_ids
from evermuse.errors import ArchiveDamaged
from ingest import parsers
from ingest.admission import acceptance
from ingest.models import Batch
from lake import archive, horizon, reading, removal, repair
from lake.index import REJECTED, IndexedBatch
from lake.journal import notes
from lake.landing import LandedRecord, landed
from lake.models import BatchOutcomes, Payload

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Reprocessed:
    """The number of records checked and of rows restored."""

    checked: int
    restored: int


def reprocess(batch_id: int) -> Reprocessed:
    """Check a landed batch's archive object against its payload, and restore its rows of the index. Idempotent.

    Raises StoreUnavailable, and ArchiveDamaged if object, payload and outcomes do not agree. Then nothing is written.
    """
    batch = Batch.objects.get(pk=batch_id)
    payload = Payload.objects.filter(batch_id=batch_id).first()
    if payload is None:
        raise ArchiveDamaged("the payload of the batch has expired, and its records are read from the archive")
    archived = archive.of(batch_id)
    outcomes = BatchOutcomes.objects.filter(batch_id=batch_id).first()
    if outcomes is None and batch.landed_at is not None:
        raise ArchiveDamaged("the outcomes of the batch's records have expired")
    if archived is None or outcomes is None:
        raise ArchiveDamaged("the batch has no archive object, so no record of it has landed")
    records = _landed(batch, payload, outcomes.letters)
    lines = archive.by_index(archived, [record.index for record in records])
    landed_lines = {record.index: record.normalized.line for record in records}
    if any(landed_lines.get(index) != line for index, line in lines):
        raise ArchiveDamaged("the object's records differ from those of the payload")
    with transaction.atomic(), connection.cursor() as cursor:
        # Until the commit, claims of the workspace wait for this lock.
        cursor.execute("SET LOCAL lock_timeout = '2s'")
        at = horizon.draw(batch.workspace_id)
        records = _kept(batch, records)
        indexed = IndexedBatch(batch_id, batch.workspace_id, batch.created_at, at, records)
        restored = repair.restore(indexed, outcomes.letters, _accepted_at)
        if restored:
            notes.changed(batch.workspace_id, sorted({record.id for record in records}))
    log.info("batch.reprocessed", batch_id=public_ids.of_batch(batch_id), checked=len(lines), restored=restored)
    return Reprocessed(len(lines), restored)


def _accepted_at(batch_ids: Sequence[int]) -> dict[int, datetime]:
    return dict(Batch.objects.filter(pk__in=batch_ids).values_list("pk", "created_at"))


def _kept(batch: Batch, records: list[LandedRecord]) -> list[LandedRecord]:
    """The records that were not removed since the batch landed. No removal commits while the clock is locked."""
    gone = removal.removed_after([record.id for record in records], batch.landed_at or batch.created_at)
    return [record for record in records if record.id not in gone]


def _landed(batch: Batch, payload: Payload, letters: str) -> list[LandedRecord]:
    """The records that the batch landed, from its payload."""
    body = acceptance.content_of(payload)
    split = parsers.split(body, payload.media_type)
    places = split.places(batch.pk)
    records: list[LandedRecord] = []
    for index, letter in enumerate(letters):
        if letter == REJECTED:
            continue
        # Without validation: the rules may be stricter now than when the batch landed.
        normalized = reading.relaxed(split.raws[index])
        if normalized is None:
            raise ArchiveDamaged(f"record {index} of the payload lacks the fields of an envelope")
        records.append(landed(index, normalized, batch.workspace_id, places[index]))
    return records
