"""Reads records, outcomes and rejected records as JSON text, with the bytes of ``data`` as they were sent."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

import msgspec
from django.db.models import Case, F, Func, IntegerField, Q, QuerySet, Value, When

from evermuse import public_ids
from evermuse.errors import ArchiveDamaged
from evermuse.instants import milliseconds
from lake import accepted_times, archive, common_terms, horizon, places, standby, term_sets, terms
from lake.filters import FILTERS
from lake.frames import Place
from lake.json_text import one_line
from lake.models import BatchOutcomes, Record, RejectedRecord
from lake.normalization import NormalizedRecord
from lake.outcomes import NAMES
from lake.reading import StoredRecord, stored

# The same order, for which the planner knows no index. So it looks the terms up and sorts what it finds.
_FROM_NO_INDEX = F("updated_at") + timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFilter:
    """Which records to return. ``wanted``: parsed values by the parameter of their filter (`lake.filters`).

    Times are inclusive at the start and exclusive at the end.
    """

    NAMES: ClassVar = (*(one.parameter for one in FILTERS), "event_since", "event_until", "changed_since")

    workspace_id: int
    wanted: Mapping[str, str] = field(default_factory=dict)
    event_since: datetime | None = None
    event_until: datetime | None = None
    changed_since: datetime | None = None

    def records(self) -> list[QuerySet[Record]]:
        """Disjoint querysets of the matching records, each in the order of their last change.

        A record is accepted after its event, so a list in the order of changes may begin at ``event_since``. The few
        records of future events have their own index.
        """
        rows = self._matching()
        if self.event_since is None:
            return [rows]
        usual = rows.filter(updated_at__gte=self.event_since, event_at__lte=F("updated_at"))
        return [usual, rows.filter(event_at__gt=F("updated_at"))]

    def _matching(self) -> QuerySet[Record]:
        """The matching records in the order of their last change."""
        rows = Record.objects.filter(workspace_id=self.workspace_id, updated_at__lt=horizon.of(self.workspace_id))
        wanted = term_sets.holding(self.workspace_id, self._terms())
        for one in wanted:
            rows = rows.filter(one.condition())
        rows = rows.order_by(_FROM_NO_INDEX if common_terms.is_rare(wanted) else "updated_at", "id")
        if self.event_since is not None:
            rows = rows.filter(event_at__gte=self.event_since)
        if self.event_until is not None:
            rows = rows.filter(event_at__lt=self.event_until)
        if self.changed_since is not None:
            rows = rows.filter(updated_at__gte=self.changed_since)
        return rows

    def _terms(self) -> list[tuple[int, str]]:
        return [
            (terms.term(self.workspace_id, one.term, self.wanted[one.parameter]), one.column)
            for one in FILTERS
            if one.parameter in self.wanted
        ]


def record_page(
    wanted: RecordFilter, *, after: Sequence[Any] | None, limit: int, max_bytes: int, single_line: bool = False
) -> tuple[list[bytes], list[Any] | None]:
    """Records in the order of their last change, up to ``max_bytes``, and the cursor of the next page.

    The last page ends at the horizon, and later landings come after it.
    """
    with standby.snapshot(wanted.workspace_id):
        parts = wanted.records()
        if after is not None:
            parts = [_beyond(part, datetime.fromisoformat(after[0]), UUID(after[1])) for part in parts]
        # The terms of a record with many participants take kilobytes.
        first, *others = [part.defer("terms")[: limit + 1] for part in parts]
        # One statement, and so one horizon. Between two statements a landing could add rows before those of the second.
        found = list(first.union(*others, all=True) if others else first)
    found.sort(key=lambda record: (record.updated_at, record.id))
    count = fitting((record.body_size for record in found[:limit]), max_bytes)
    following = None
    if len(found) > count:
        end = found[count - 1]
        following = [end.updated_at.isoformat(), end.id.hex]
    return encode(found[:count], single_line=single_line), following


def fitting(sizes: Iterable[int], max_bytes: int) -> int:
    """How many of these rows fit into ``max_bytes``, but at least one."""
    count = total = 0
    for size in sizes:
        total += size
        if count and total > max_bytes:
            break
        count += 1
    return count


def _beyond(rows: QuerySet[Record], instant: datetime, last: UUID) -> QuerySet[Record]:
    return rows.filter(updated_at__gte=instant).filter(Q(updated_at__gt=instant) | Q(id__gt=last))


def record(workspace_id: int, public_id: str) -> bytes | None:
    """One record of the workspace as JSON, or None."""
    record_id = public_ids.record_uuid(public_id)
    found = Record.objects.filter(workspace_id=workspace_id, id=record_id).first() if record_id else None
    return next(iter(encode([found])), None) if found else None


def encode(found: Sequence[Record], *, single_line: bool = False) -> list[bytes]:
    """Records as the API shows them, with the bytes of ``data`` as they were sent."""
    sent = places.read(record.place for record in found)
    if len(sent) < len({record.place for record in found}):
        found = _still_there(found, sent)
    uris = archive.uris({record.batch_id for record in found})
    accepted = accepted_times.of_records(found)
    return [
        _encode(
            one,
            one.first_accepted_at or accepted[one.batch_id],
            uris.get(one.batch_id, ""),
            stored(sent[one.place]),
            single_line=single_line,
        )
        for one in found
    ]


def _still_there(found: Sequence[Record], sent: Mapping[Place, bytes]) -> list[Record]:
    """Drop records that were removed after the query. Raises ArchiveDamaged if a record exists but cannot be read."""
    missing = {record.id for record in found if record.place not in sent}
    if lost := Record.objects.filter(id__in=missing).order_by("id").first():
        raise ArchiveDamaged(f"neither a payload nor a segment holds {lost.public_id}")
    return [record for record in found if record.id not in missing]


def _encode(
    found: Record, accepted_at: datetime, uri: str, record: NormalizedRecord | StoredRecord, *, single_line: bool
) -> bytes:
    opening = json.dumps(
        {
            "recordId": found.public_id,
            "batchId": public_ids.of_batch(found.batch_id),
            "firstAcceptedAt": milliseconds(accepted_at),
            "updatedAt": milliseconds(found.updated_at),
            "version": found.version,
            "storageUri": uri,
        },
        separators=(",", ":"),
    ).encode()
    envelope = record.line if single_line else record.document
    return opening[:-1] + b',"record":' + envelope + b"}"


def outcome_page(
    batch_id: int, record_count: int, *, after: int | None, limit: int, max_bytes: int, single_line: bool = False
) -> tuple[list[bytes], int | None]:
    """The outcome of each record by index, ``pending`` before landing. A batch's outcomes take 100 kB, so no limit in
    bytes.
    """
    row = BatchOutcomes.objects.filter(batch_id=batch_id).first()
    rejected = set() if row else set(RejectedRecord.objects.filter(batch_id=batch_id).values_list("index", flat=True))
    start = 0 if after is None else after + 1
    end = min(start + limit, record_count)
    rows: list[bytes] = []
    for index in range(start, end):
        outcome, record_id = ("rejected" if index in rejected else "pending"), None
        if row is not None:
            outcome = NAMES[row.letters[index]]
            if outcome != "rejected":
                record_id = public_ids.of_record(UUID(bytes=bytes(row.record_ids[index * 16 : index * 16 + 16])))
        rows.append(json.dumps({"index": index, "outcome": outcome, "recordId": record_id}).encode())
    return rows, end - 1 if end < record_count else None


def rejected_page(
    batch_id: int, record_count: int, *, after: int | None, limit: int, max_bytes: int, single_line: bool = False
) -> tuple[list[bytes], int | None]:
    """Rejected records by index, each with all errors and the payload as it was sent, up to ``max_bytes``."""
    rows = RejectedRecord.objects.filter(batch_id=batch_id).order_by("index")
    if after is not None:
        rows = rows.filter(index__gt=after)
    # PostgreSQL returns the sizes without reading the values.
    sized = list(rows.annotate(size=_SHOWN_SIZE).values_list("index", "size")[: limit + 1])
    count = fitting((size for _, size in sized[:limit]), max_bytes)
    if not count:
        return [], None
    last = sized[count - 1][0]
    found = rows.filter(index__lte=last)
    return [_rejected(row, single_line=single_line) for row in found], last if len(sized) > count else None


class _Octets(Func):
    """The size of a bytea or text value in bytes."""

    function = "octet_length"
    output_field = IntegerField()


# A line that is not JSON is shown as a JSON string, in which a byte takes up to six.
_SHOWN_SIZE = _Octets("errors") + _Octets("payload") * Case(When(is_json=True, then=Value(1)), default=Value(6))


def _rejected(row: RejectedRecord, *, single_line: bool) -> bytes:
    payload = bytes(row.payload)
    if not row.is_json:
        payload = msgspec.json.encode(payload.decode(errors="replace"))
    elif single_line:
        payload = one_line(payload)
    return b'{"index":%d,"errors":%s,"payload":%s}' % (row.index, row.errors.encode(), payload)
