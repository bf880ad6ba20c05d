"""The bucket as a reader from outside sees it, and PostgreSQL in the same words, to compare the two."""

from datetime import datetime

from django.conf import settings

from evermuse.instants import microseconds
from ingest.models import Batch, Workspace
from lake import object_store
from lake.models import BatchOutcomes, Record, RecordVersion, RemovedRecord, SegmentBatch
from tests.lake.journal.rebuilt import Rebuilt, Replaced, Version, rebuild


def journal_keys(workspace: Workspace) -> list[str]:
    """The objects of a workspace's journal, published or not."""
    prefix = f"journal/workspace={object_store.partition(workspace.name)}/"
    found = object_store.client().list_objects(settings.MINIO_BUCKET, prefix, recursive=True)
    return [one.object_name for one in found if one.object_name]


def content(key: str) -> bytes:
    """An object."""
    found = object_store.get(key, max_bytes=200_000_000)
    assert found is not None, key
    return found


def from_bucket(workspace: Workspace) -> Rebuilt:
    """The workspace from the bucket alone."""
    return rebuild(journal_keys(workspace), content)


def from_postgresql(workspace: Workspace) -> Rebuilt:
    """The workspace as the index has it, without documents and the numbers of entries."""
    found = Rebuilt()
    for row in Record.objects.filter(workspace=workspace).select_related("batch"):
        place = row.batch_id, row.body_offset
        found.records[row.id.hex] = Version(
            row.version, place, row.last_sender, _us(row.first_accepted_at or row.batch.created_at), _us(row.updated_at)
        )
    for old in RecordVersion.objects.filter(record_id__in=Record.objects.filter(workspace=workspace).values("id")):
        place = old.batch_id, old.body_offset
        found.replaced[old.record_id.hex, old.version] = Replaced(place, old.replaced_by_id, _us(old.replaced_at))
    batches = Batch.objects.filter(workspace=workspace)
    for outcomes in BatchOutcomes.objects.filter(batch__in=batches):
        ids = bytes(outcomes.record_ids).hex()
        found.outcomes[outcomes.batch_id] = outcomes.letters, [ids[at : at + 32] for at in range(0, len(ids), 32)]
    for one in SegmentBatch.objects.filter(batch__in=batches, line_count__gt=0).select_related("segment"):
        found.places[one.batch_id] = one.segment.key, one.line_count, one.start, one.length
    for removed in RemovedRecord.objects.filter(workspace=workspace).order_by("removed_at"):
        found.removed[removed.record_id.hex] = _us(removed.removed_at), removed.reason
    given_up = batches.filter(status="FAILED", failure_code="GIVEN_UP")
    found.given_up = dict.fromkeys(given_up.values_list("id", flat=True), "GIVEN_UP")
    return found


def differences(workspace: Workspace) -> list[str]:
    """Where the bucket differs from PostgreSQL."""
    told, known = from_bucket(workspace), from_postgresql(workspace)
    found = [
        f"{name}: {getattr(told, name)} is not {getattr(known, name)}"
        for name in ("records", "replaced", "outcomes", "places", "removed", "given_up")
        if getattr(told, name) != getattr(known, name)
    ]
    return found + [f"{id} has no line" for id, row in told.records.items() if row.place not in told.documents]


def _us(instant: datetime) -> int:
    return microseconds(instant)
