"""Groups records into batches that the server accepts: one type and one product each, within all limits.

The grouping depends only on the records and their order, so the same file gives the same batches. Records with the same
identity are never in two open batches, so batches may be sent in the order in which they are closed.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Generic, Protocol, TypeVar

MAX_RECORDS = 1000
MAX_BODY_BYTES = 5 * 1024 * 1024
MAX_ATTACHMENTS = 1000
# The limit on the bytes in all open batches. Above it, the oldest batch is closed.
MAX_OPEN_BYTES = 32 * 1024 * 1024
# The bytes that an upload adds to its attachment: the intent's id, the size and the checksum.
UPLOAD_BYTES = 400


class Groupable(Protocol):
    """The properties of a record that grouping needs."""

    raw: bytes
    type: str
    product_id: str
    identity: int
    attachment_count: int
    local_files: dict[int, str]


T = TypeVar("T", bound=Groupable)


class _Open(list[T]):
    """A batch that is not closed yet. ``place``: its type and product. ``is_watched``: whether others have the same type."""

    __slots__ = ("attachments", "is_watched", "place", "size")

    def __init__(self, place: tuple[str, str], *, is_watched: bool) -> None:
        super().__init__()
        self.place, self.is_watched, self.size, self.attachments = place, is_watched, 2, 0


class Grouper(Generic[T]):
    """Collects records, and returns batches as they are closed."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], _Open[T]] = {}
        # Where each record of the watched types is. The type is part of the identity, so only a type with several products
        # can have the same record in two batches.
        self._places: dict[int, tuple[str, str]] = {}
        self._watched: set[str] = set()
        self._size = 0

    def add(self, record: T) -> list[list[T]]:
        """Take a record. Returns the batches that this closes."""
        closed: list[list[T]] = []
        place = (record.type, record.product_id)
        size = len(record.raw) + 1
        if record.local_files:
            size += UPLOAD_BYTES * len(record.local_files)
        group = self._open.get(place)
        if group is None:
            self._watch(record.type)
        if self._places and (other := self._places.get(record.identity, place)) != place:
            closed.append(self._close(other))
        if group is not None and (
            len(group) >= MAX_RECORDS
            or group.size + size > MAX_BODY_BYTES
            or group.attachments + record.attachment_count > MAX_ATTACHMENTS
        ):
            closed.append(self._close(place))
            group = None
        if group is None:
            group = self._open[place] = _Open(place, is_watched=record.type in self._watched)
        group.append(record)
        group.size += size
        group.attachments += record.attachment_count
        self._size += size
        if group.is_watched:
            self._places[record.identity] = place
        while self._size > MAX_OPEN_BYTES:
            closed.append(self._close(next(iter(self._open))))
        return closed

    def add_all(self, records: Sequence[T]) -> Iterator[list[T]]:
        """Take records in order. Yields each batch when it is closed."""
        at = 0
        while at < len(records):
            if taken := self._extend(records, at):
                at += taken
            else:
                yield from self.add(records[at])
                at += 1

    def _extend(self, records: Sequence[T], at: int) -> int:
        """Put successive records of one type and product into their open batch. Returns how many; 0 if `add` must decide."""
        group = self._open.get((records[at].type, records[at].product_id))
        if group is None or group.is_watched:
            return 0
        type, product_id = group.place
        room = min(MAX_BODY_BYTES - group.size, MAX_OPEN_BYTES - self._size)
        size, end = 0, at
        for one in islice(records, at, at + MAX_RECORDS - len(group)):
            more = len(one.raw) + 1
            if (
                one.type != type
                or one.product_id != product_id
                or one.attachment_count
                or one.local_files
                or size + more > room
            ):
                break
            size += more
            end += 1
        group.extend(records[at:end])
        group.size += size
        self._size += size
        return end - at

    def rest(self) -> Iterator[list[T]]:
        """Close all batches."""
        while self._open:
            yield self._close(next(iter(self._open)))

    def _watch(self, type: str) -> None:
        """Note where the records of a type are, from its second product on."""
        groups = [group for place, group in self._open.items() if place[0] == type and not group.is_watched]
        for group in groups:
            self._watched.add(type)
            group.is_watched = True
            self._places.update((record.identity, group.place) for record in group)

    def _close(self, place: tuple[str, str]) -> list[T]:
        group = self._open.pop(place)
        self._size -= group.size - 2
        if group.is_watched:
            for record in group:
                self._places.pop(record.identity, None)
        return list(group)
