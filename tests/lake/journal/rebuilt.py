"""A reader of journal and segments that knows only their documented layout.

It shows that the layout is enough for a rebuild. It imports nothing of the product.
"""

import io
import json
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import zstandard


@dataclass
class Version:
    """The current version of a record. ``place``: batch number and offset of the record in its body."""

    version: int
    place: tuple[int, int]
    last_batch: int
    first_accepted_at: int
    updated_at: int


@dataclass
class Replaced:
    """A version that a later one replaced."""

    place: tuple[int, int]
    replaced_by: int
    replaced_at: int


@dataclass
class Rebuilt:
    """A workspace. Records by the 32 digits of their id; instants in microseconds."""

    records: dict[str, Version] = field(default_factory=dict)
    replaced: dict[tuple[str, int], Replaced] = field(default_factory=dict)
    outcomes: dict[int, tuple[str, list[str]]] = field(default_factory=dict)
    places: dict[int, tuple[str, int, int, int]] = field(default_factory=dict)
    removed: dict[str, tuple[int, str]] = field(default_factory=dict)
    given_up: dict[int, str] = field(default_factory=dict)
    documents: dict[tuple[int, int], bytes] = field(default_factory=dict)
    entries: list[int] = field(default_factory=list)


def events(keys: list[str], get: Callable[[str], bytes]) -> Iterator[dict[str, Any]]:
    """The events of a workspace in their order, each once, however many objects have it."""
    last = 0
    for key in sorted(keys):
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(get(key)), read_across_frames=True) as stream:
            for line in io.TextIOWrapper(stream, encoding="utf-8"):
                event = json.loads(line)
                if event["entry"] > last:
                    assert event["entry"] == last + 1, f"event {last + 1} is missing"
                    last = event["entry"]
                    yield event


def rebuild(keys: list[str], get: Callable[[str], bytes]) -> Rebuilt:
    """The workspace, from its journal's objects and the segments that they name."""
    found = Rebuilt()
    indexes: dict[str, tuple[int, int]] = {}
    versions: dict[tuple[str, int], tuple[int, int]] = {}
    for event in events(keys, get):
        found.entries.append(event["entry"])
        _APPLY[event["event"]](found, event, indexes, versions)
    _resolve(found, get, indexes, versions)
    return found


# By index among the records that were sent, until the offsets are read from the segments.
_Indexes = dict[str, tuple[int, int]]
_Versions = dict[tuple[str, int], tuple[int, int]]


def _landed(found: Rebuilt, event: dict[str, Any], indexes: _Indexes, versions: _Versions) -> None:
    _moved(found, event, indexes, versions)
    for batch in event["batches"]:
        number, ids = batch["number"], _ids(batch["recordIds"])
        found.outcomes[number] = batch["outcomes"], ids
        found.given_up.pop(number, None)
        written = iter(batch["versions"])
        for index, (outcome, id) in enumerate(zip(batch["outcomes"], ids, strict=True)):
            version = next(written) if outcome == "u" else 1
            now = found.records.get(id)
            if outcome not in "cui" or (now is not None and now.last_batch >= number):
                continue
            if outcome == "c":
                found.records[id] = Version(1, (number, -1), number, batch["acceptedAt"], event["at"])
                indexes[id] = number, index
            elif now is not None and outcome == "u":
                found.replaced[id, now.version] = Replaced(now.place, number, event["writtenAt"])
                if id in indexes:
                    versions[id, now.version] = indexes[id]
                found.records[id] = Version(
                    version, (number, -1), number, now.first_accepted_at, max(now.updated_at, event["at"])
                )
                indexes[id] = number, index
            elif now is not None:
                now.last_batch = number


def _moved(found: Rebuilt, event: dict[str, Any], indexes: _Indexes, versions: _Versions) -> None:
    for place in event["places"]:
        columns = zip(place["batches"], place["lines"], place["start"], place["length"], strict=True)
        for batch, lines, start, length in columns:
            if lines:
                found.places[batch] = place["segment"], lines, start, length
            else:
                found.places.pop(batch, None)


def _given_up(found: Rebuilt, event: dict[str, Any], indexes: _Indexes, versions: _Versions) -> None:
    for number in event["batches"]:
        found.given_up[number] = event["reason"]


def _forget(found: Rebuilt, id: str, indexes: _Indexes, versions: _Versions) -> None:
    found.records.pop(id, None)
    indexes.pop(id, None)
    for key in [key for key in found.replaced if key[0] == id]:
        del found.replaced[key]
        versions.pop(key, None)


def _removed(found: Rebuilt, event: dict[str, Any], indexes: _Indexes, versions: _Versions) -> None:
    for id in _ids(event["recordIds"]):
        _forget(found, id, indexes, versions)
        found.removed[id] = event["at"], event["reason"]


def _versions_removed(found: Rebuilt, event: dict[str, Any], indexes: _Indexes, versions: _Versions) -> None:
    for key in zip(_ids(event["recordIds"]), event["versions"], strict=True):
        found.replaced.pop(key, None)
        versions.pop(key, None)


def _records(found: Rebuilt, event: dict[str, Any], indexes: _Indexes, versions: _Versions) -> None:
    _moved(found, event, indexes, versions)
    now, before = event["current"], event["replaced"]
    ids = _ids(now["recordIds"])
    for id in ids:
        _forget(found, id, indexes, versions)
    for id, *row in zip(ids, *_columns(now, "lastBatch", "firstAcceptedAt", "updatedAt"), strict=True):
        version, batch, offset, last_batch, first_accepted_at, updated_at = row
        found.records[id] = Version(version, (batch, offset), last_batch, first_accepted_at, updated_at)
    for id, *row in zip(_ids(before["recordIds"]), *_columns(before, "replacedBy", "replacedAt"), strict=True):
        version, batch, offset, replaced_by, replaced_at = row
        found.replaced[id, version] = Replaced((batch, offset), replaced_by, replaced_at)


_APPLY = {
    "landed": _landed, "moved": _moved, "givenUp": _given_up, "removed": _removed, "versionsRemoved": _versions_removed,
    "records": _records,
}  # fmt: skip


def _columns(table: dict[str, Any], *more: str) -> list[list[int]]:
    return [table[name] for name in ("version", "batch", "offset", *more)]


def _ids(text: str) -> list[str]:
    return [text[at : at + 32] for at in range(0, len(text), 32)]


def _resolve(found: Rebuilt, get: Callable[[str], bytes], indexes: _Indexes, versions: _Versions) -> None:
    """Read the segments: where each record stood in its batch, and its document."""
    offsets: dict[tuple[int, int], int] = {}
    by_segment: defaultdict[str, set[int]] = defaultdict(set)
    for number, (segment, _, _, _) in found.places.items():
        by_segment[segment].add(number)
    for segment, batches in by_segment.items():
        for number, index, offset, document in _lines(get(segment)):
            if number in batches:
                offsets[number, index] = offset
                found.documents[number, offset] = document
    for id, (number, index) in indexes.items():
        found.records[id].place = number, offsets[number, index]
    for key, (number, index) in versions.items():
        found.replaced[key].place = number, offsets[number, index]


def _lines(content: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Batch number, index, offset and text of each line of a segment."""
    count, _, _ = struct.unpack("<IBI", content[-9:])
    entries = list(struct.iter_unpack("<II", content[-9 - 8 * count : -9]))
    at = 0
    for (size, _), (listing_size, _) in zip(entries[::2], entries[1::2], strict=True):
        listing_frame = content[at + size : at + size + listing_size]
        listing = json.loads(zstandard.ZstdDecompressor().decompress(listing_frame[12:]))
        texts = zstandard.ZstdDecompressor().decompress(content[at : at + size]).split(b"\n")[:-1]
        numbers = [batch["number"] for batch in listing["batches"] for _ in range(batch["lines"])]
        yield from zip(numbers, listing["index"], listing["offset"], texts, strict=True)
        at += size + listing_size
