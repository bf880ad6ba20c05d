"""Makes the events of the journal: turns entries, and the committed rows that they name, into lines of JSON.

``evermuse/docs/journal.md`` describes the layout for readers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

import msgspec

from evermuse import prepared, public_ids
from evermuse.instants import microseconds
from lake import accepted_times, index_layout
from lake.index import UPDATED
from lake.journal import sql
from lake.models import JournalEntry

_ID_BYTES = 16
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """Facts of a batch that only the layer above this one knows."""

    source: str
    type: str
    accepted_at: datetime


# Returns the facts of batches, by id.
FactsOf = Callable[[Sequence[int]], Mapping[int, BatchFacts]]
# Returns the names of workspaces, by id.
NamesOf = Callable[[Sequence[int]], Mapping[int, str]]


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of `sql.BOUND`."""

    id: int
    kind: str
    noted_at: datetime
    at: datetime | None
    batch_ids: list[int] | None
    record_ids: list[UUID] | None
    versions: list[int] | None
    reason: str


class BatchEvent(msgspec.Struct, rename="camel"):
    """A batch that has landed. ``versions``: the new versions of updated records, in the order of its ``u``."""

    batch_id: str
    number: int
    source: str
    type: str
    accepted_at: int
    outcomes: str
    record_ids: str
    versions: list[int | None]


class PlaceEvent(msgspec.Struct, rename="camel"):
    """The batches with lines in a segment, as columns: the number of lines, and the bytes of the blocks."""

    segment: str
    batches: list[int]
    lines: list[int]
    start: list[int]
    length: list[int]


class CurrentColumns(msgspec.Struct, rename="camel"):
    """Current versions of records, in columns."""

    record_ids: str
    version: list[int]
    batch: list[int]
    offset: list[int]
    last_batch: list[int]
    first_accepted_at: list[int]
    updated_at: list[int]


class ReplacedColumns(msgspec.Struct, rename="camel"):
    """Replaced versions of records, in columns."""

    record_ids: str
    version: list[int]
    batch: list[int]
    offset: list[int]
    replaced_by: list[int]
    replaced_at: list[int]


class Event(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """A line of the journal. ``entry``: its number in the workspace, which it keeps however often it is written."""

    entry: int
    event: str
    written_at: int
    at: int | None = None
    reason: str | None = None
    batches: list[BatchEvent] | list[int] | None = None
    places: list[PlaceEvent] | None = None
    record_ids: str | None = None
    versions: list[int] | None = None
    current: CurrentColumns | None = None
    replaced: ReplacedColumns | None = None


def lines(workspace_id: int, first: int, entries: Sequence[Entry], facts_of: FactsOf) -> bytes:
    """The events of these entries as NDJSON. ``first``: the number of the first one."""
    of_landings = [one for one in entries if one.kind == JournalEntry.Kind.LANDED]
    landed = _landed([number for one in of_landings for number in one.batch_ids or ()], facts_of)
    events = (_event(workspace_id, number, entry, landed) for number, entry in enumerate(entries, first))
    return b"".join(_encode(event) + b"\n" for event in events)


def _event(workspace_id: int, number: int, entry: Entry, landed: Mapping[int, BatchEvent]) -> Event:
    kind = JournalEntry.Kind(entry.kind)
    event = Event(
        entry=number,
        event=NAMES[kind],
        written_at=microseconds(entry.noted_at),
        at=None if entry.at is None else microseconds(entry.at),
        reason=entry.reason or None,
    )
    if kind == kind.LANDED:
        event.batches = [landed[one] for one in entry.batch_ids or () if one in landed]
        event.places = _places(entry.batch_ids or [])
    elif kind == kind.MOVED:
        event.places = _places(entry.batch_ids or [])
    elif kind == kind.GIVEN_UP:
        event.batches = entry.batch_ids
    elif kind == kind.CHANGED:
        event.current, event.replaced = _current(workspace_id, entry), _replaced(workspace_id, entry)
        # Their batches may have landed before the journal existed.
        event.places = _places(sorted({*event.current.batch, *event.replaced.batch}))
    else:
        event.record_ids, event.versions = _hex(entry.record_ids or ()), entry.versions
    return event


NAMES = {
    JournalEntry.Kind.LANDED: "landed",
    JournalEntry.Kind.GIVEN_UP: "givenUp",
    JournalEntry.Kind.MOVED: "moved",
    JournalEntry.Kind.CHANGED: "records",
    JournalEntry.Kind.REMOVED: "removed",
    JournalEntry.Kind.VERSIONS_REMOVED: "versionsRemoved",
}


def _landed(batch_ids: Sequence[int], facts_of: FactsOf) -> dict[int, BatchEvent]:
    if not batch_ids:
        return {}
    facts = facts_of(batch_ids)
    outcomes = prepared.rows(sql.OUTCOMES, [list(batch_ids)], binary=True)
    versions = _versions(outcomes)
    return {
        number: BatchEvent(
            batch_id=public_ids.of_batch(number),
            number=number,
            source=facts[number].source,
            type=facts[number].type,
            accepted_at=microseconds(facts[number].accepted_at),
            outcomes=letters,
            record_ids=bytes(ids).hex(),
            versions=versions[number],
        )
        for number, letters, ids in outcomes
        if number in facts
    }


def _versions(outcomes: Sequence[tuple[Any, ...]]) -> dict[int, list[int | None]]:
    """The version of each record that a batch updated, in order. None if the record was removed since."""
    updated = {
        number: [
            bytes(ids[_ID_BYTES * n : _ID_BYTES * (n + 1)]) for n, letter in enumerate(letters) if letter == UPDATED
        ]
        for number, letters, ids in outcomes
    }
    keys = sorted({key for keys in updated.values() for key in keys})
    found: dict[tuple[int, bytes], int] = {}
    if keys:
        wanted = [number for number, keys in updated.items() if keys]
        rows = prepared.rows(sql.WRITTEN_VERSIONS, [[UUID(bytes=key) for key in keys], wanted])
        found = {(number, record_id.bytes): version for number, record_id, version in rows}
    return {number: [found.get((number, key)) for key in keys] for number, keys in updated.items()}


def _places(batch_ids: Sequence[int]) -> list[PlaceEvent]:
    rows = prepared.rows(sql.PLACES, [list(batch_ids)])
    return [
        PlaceEvent(key, *_columns(row[1:] for row in several)) for key, several in groupby(rows, lambda row: row[0])
    ]


def _current(workspace_id: int, entry: Entry) -> CurrentColumns:
    statement = sql.CURRENT if index_layout.is_compact() else sql.WIDE_CURRENT
    rows = prepared.rows(statement, [entry.record_ids, workspace_id])
    ids, version, batch, offset, last_batch, noted, updated = _columns(rows, 7)
    unknown = {number for number, at in zip(batch, noted, strict=True) if at is None}
    accepted = accepted_times.of_batches(unknown) if unknown else {}
    first_accepted = [at or accepted[number] for number, at in zip(batch, noted, strict=True)]
    return CurrentColumns(
        _hex(ids), version, batch, offset, last_batch, _microseconds(first_accepted), _microseconds(updated)
    )


def _replaced(workspace_id: int, entry: Entry) -> ReplacedColumns:
    rows = prepared.rows(sql.REPLACED, [entry.record_ids, workspace_id])
    ids, version, batch, offset, replaced_by, replaced_at = _columns(rows, 6)
    return ReplacedColumns(_hex(ids), version, batch, offset, replaced_by, _microseconds(replaced_at))


def _columns(rows: Iterator[Any] | Sequence[Any], count: int = 0) -> list[list[Any]]:
    found = [list(column) for column in zip(*rows, strict=True)]
    return found or [[] for _ in range(count)]


def _microseconds(instants: Sequence[datetime]) -> list[int]:
    return [microseconds(at) for at in instants]


def _hex(ids: Sequence[UUID]) -> str:
    return "".join([one.hex for one in ids])
