"""Finds what is in the bucket but not in a restored database. Reads it once, before anything is changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from evermuse import logs
from evermuse.errors import ArchiveDamaged
from ingest.models import Batch, Workspace
from lake import object_store
from lake.models import Segment
from lake.restore import adopting, history, listing, unknown_segments
from lake.restore.history import History
from lake.restore.listing import BucketObject
from lake.restore.unknown_segments import Unit, UnknownSegment

log = logs.get(__name__)


@dataclass(slots=True)
class Bucket:
    """Objects that the database does not count, and events of the journal that it lacks.

    ``unknown``: keys of segments without a row. ``uncounted``: segments that were read, with those whose row says unfinished.
    ``gone``: segments that count and whose object does not exist, by id. ``unreadable``: keys of damaged objects.
    """

    unknown: list[str] = field(default_factory=list)
    uncounted: list[UnknownSegment] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    gone: dict[int, str] = field(default_factory=dict)
    gone_journals: list[int] = field(default_factory=list)
    journals: dict[int, list[BucketObject]] = field(default_factory=dict)
    histories: dict[int, History] = field(default_factory=dict)
    nameless: list[str] = field(default_factory=list)

    def best_units(self) -> dict[int, Unit]:
        """The best copy of each batch's lines in segments that do not count, by batch number."""
        candidates: dict[int, list[Unit]] = {}
        for segment in self.uncounted:
            for number, unit in segment.units.items():
                candidates.setdefault(number, []).append(unit)
        return {
            number: unknown_segments.best(units, self.history(units[0].segment.workspace_id).places)
            for number, units in candidates.items()
        }

    def history(self, workspace_id: int) -> History:
        """The events of a workspace's journal that the database lacks. Empty if there is no journal."""
        return self.histories.setdefault(workspace_id, History(0))


def look() -> Bucket:
    """Read the bucket. Raises StoreUnavailable."""
    bucket = Bucket()
    # Read the bucket before the database, because an object's row is committed before the object is written.
    segments, journals = listing.segments(), listing.journals()
    rows, uncounted = adopting.live(), adopting.known()
    _read_segments(bucket, segments, counted={key for _, key, _ in rows}, uncounted=uncounted)
    _read_journals(bucket, journals, counted={key for _, key, _ in rows})
    there = {one.key for one in segments} | {one.key for several in journals.values() for one in several}
    for id, key, layout in rows:
        if layout == Segment.Layout.JOURNAL and key not in there:
            bucket.gone_journals.append(id)
        elif layout == Segment.Layout.LISTED and key not in there:
            bucket.gone[id] = key
    return bucket


def _read_segments(bucket: Bucket, segments: Iterable[BucketObject], *, counted: set[str], uncounted: set[str]) -> None:
    for one in segments:
        if one.key in counted:
            continue
        if one.key not in uncounted:
            bucket.unknown.append(one.key)
        try:
            bucket.uncounted.append(unknown_segments.read(one))
        except ArchiveDamaged as error:
            log.error("restore.segment_unreadable", error=str(error)[:200])
            bucket.unreadable.append(one.key)


def _read_journals(bucket: Bucket, journals: Mapping[str, list[BucketObject]], *, counted: set[str]) -> None:
    """Workspaces that are missing from the database are found by their segments."""
    ids = {object_store.partition(name): id for id, name in Workspace.objects.values_list("id", "name")}
    ids |= {object_store.partition(one.workspace): one.workspace_id for one in bucket.uncounted if one.units}
    for part, found in journals.items():
        if (workspace_id := ids.get(part)) is None:
            bucket.nameless.append(listing.name_in(part))
            continue
        bucket.journals[workspace_id] = [one for one in found if one.key not in counted]
        number = adopting.last_number(workspace_id)
        try:
            bucket.histories[workspace_id] = history.after(number, found)
        except ArchiveDamaged as error:
            log.error("restore.journal_unreadable", error=str(error)[:200], workspace_id=workspace_id)
            bucket.unreadable += [one.key for one in bucket.journals[workspace_id]]


def unknown_batches(units: Mapping[int, Unit]) -> list[Unit]:
    """The units whose batch the database does not have."""
    known = set(Batch.objects.filter(pk__in=list(units)).values_list("pk", flat=True))
    return [unit for number, unit in units.items() if number not in known]
