"""Reads a journal's events after a number, for a database that was restored from an earlier time."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import msgspec
import zstandard

from evermuse.errors import ArchiveDamaged
from lake import object_store
from lake.journal import writing
from lake.journal.events import BatchEvent, PlaceEvent
from lake.restore.listing import BucketObject, last_number

MAX_BYTES = 1024 * 1024 * 1024
_ID_DIGITS = 32


class _ReadEvent(msgspec.Struct, rename="camel"):
    """The fields of an event that matter here. ``batches`` has one of two forms."""

    entry: int
    event: str
    reason: str = ""
    batches: msgspec.Raw = msgspec.Raw(b"[]")
    places: list[PlaceEvent] = []
    record_ids: str = ""


_decode = msgspec.json.Decoder(_ReadEvent).decode


@dataclass(frozen=True, slots=True)
class Told:
    """What the journal says of a landed batch. ``entry``: the number of the event."""

    entry: int
    batch: BatchEvent


@dataclass(slots=True)
class History:
    """Later events of a workspace. ``places``: the last segment of each batch; empty text: none of its lines is needed.

    ``removed``: the number of the event that removed a record, and its reason. ``gaps``: numbers of events that no object has.
    """

    last: int
    landed: dict[int, Told] = field(default_factory=dict)
    given_up: dict[int, str] = field(default_factory=dict)
    places: dict[int, str] = field(default_factory=dict)
    removed: dict[UUID, tuple[int, str]] = field(default_factory=dict)
    gaps: list[tuple[int, int]] = field(default_factory=list)

    def outlives(self, record_id: UUID, batch: int) -> bool:
        """Whether a record of this batch was not removed after the batch had landed."""
        gone = self.removed.get(record_id)
        told = self.landed.get(batch)
        return gone is None or told is None or told.entry > gone[0]


def after(number: int, objects: Sequence[BucketObject]) -> History:
    """The events in these objects of a journal after a number. Raises StoreUnavailable, ArchiveDamaged."""
    history = History(number)
    for one in sorted(objects, key=lambda found: writing.numbers_of(found.key)):
        if last_number(one.key) <= history.last:
            continue
        for event in _events(one.key):
            if event.entry > history.last:
                _apply(history, event)
    return history


def _events(key: str) -> Iterator[_ReadEvent]:
    content = object_store.get(key, max_bytes=MAX_BYTES)
    if content is None:
        return  # merged and deleted since it was listed
    try:
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content), read_across_frames=True) as stream:
            for line in io.BufferedReader(stream):
                yield _decode(line)
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise ArchiveDamaged(f"an object of the journal cannot be read: {type(error).__name__}") from None


def _apply(history: History, event: _ReadEvent) -> None:
    if event.entry > history.last + 1:
        history.gaps.append((history.last + 1, event.entry - 1))
    history.last = event.entry
    for place in event.places:
        for batch, lines in zip(place.batches, place.lines, strict=True):
            history.places[batch] = place.segment if lines else ""
    if event.event == "landed":
        for one in msgspec.json.decode(event.batches, type=list[BatchEvent]):
            history.landed[one.number] = Told(event.entry, one)
            history.given_up.pop(one.number, None)
    elif event.event == "givenUp":
        history.given_up |= dict.fromkeys(msgspec.json.decode(event.batches, type=list[int]), event.reason)
    elif event.event == "removed":
        for record_id in ids_of(event.record_ids):
            history.removed[record_id] = event.entry, event.reason


def ids_of(text: str) -> list[UUID]:
    """The record ids in a text of 32 digits each."""
    return [UUID(text[at : at + _ID_DIGITS]) for at in range(0, len(text), _ID_DIGITS)]
