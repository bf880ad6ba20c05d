"""The only reader of segments: turns blocks of an object into lines, each with its entry of the listing."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from evermuse import public_ids
from evermuse.errors import ArchiveDamaged
from evermuse.instants import from_microseconds
from lake.segments import layout
from lake.segments.layout import BlockSize, Listing
from lake.segments.writer import Line, LineBatch

# The approximate memory that Python needs for a line besides its text.
_LINE_COST = 300


@dataclass(slots=True)
class Block:
    """A block: its lines without line ends, and their listing."""

    listing: Listing
    lines: list[bytes]
    numbers: dict[tuple[int, int], int]

    @property
    def cost(self) -> int:
        """Approximate bytes of memory."""
        return sum(map(len, self.lines)) + _LINE_COST * len(self.lines)

    def document(self, number: int) -> bytes:
        """A line's normalized record, with its line breaks restored."""
        return layout.with_breaks(self.lines[number], self.listing.breaks.get(number))

    def find(self, batch: int, offset: int) -> bytes | None:
        """The document of the record at ``offset`` of a batch's body, or None if the block has no such line."""
        number = self.numbers.get((batch, offset))
        return None if number is None else self.document(number)

    def of_batch(self, batch: int) -> list[tuple[int, bytes]]:
        """A batch's lines in this block, each with its record's index among those that were sent."""
        return [(self.listing.index[n], self.lines[n]) for (number, _), n in self.numbers.items() if number == batch]

    def entries(self) -> Iterator[Line]:
        """All lines, as the writer takes them."""
        listing = self.listing
        for batch, number in _by_batch(listing):
            yield Line(
                batch=batch,
                index=listing.index[number],
                offset=listing.offset[number],
                size=listing.size[number],
                key=key_of(listing.record_id[number]),
                document=self.document(number),
            )


def read_block(content: bytes) -> Block:
    """A block from its bytes. Raises ArchiveDamaged."""
    return next_block(content)[0]


def next_block(content: bytes) -> tuple[Block, bytes]:
    """The first block of these bytes, and what follows it. Raises ArchiveDamaged."""
    text, rest = layout.split_block(content)
    frame, rest = layout.split_listing(rest)
    return _block(text, layout.listing_of(frame)), rest


def _block(text: bytes, listing: Listing) -> Block:
    lines = text.split(b"\n")
    counts = {len(listing.index), len(listing.offset), len(listing.size), len(listing.record_id), len(lines) - 1}
    if lines.pop() or len(counts) > 1 or sum(part.lines for part in listing.batches) != len(lines):
        raise ArchiveDamaged("a block's listing does not fit its lines")
    numbers: dict[tuple[int, int], int] = {}
    number = 0
    for part in listing.batches:
        for _ in range(part.lines):
            numbers[part.number, listing.offset[number]] = number
            number += 1
    return Block(listing, lines, numbers)


def table_of(content: bytes) -> list[BlockSize]:
    """The blocks of a whole segment, or of its end that holds the seek table. Raises ArchiveDamaged."""
    size = layout.seek_table_size(content[-16:])
    return layout.blocks_of(content[-size:])


def blocks(content: bytes) -> Iterator[bytes]:
    """The blocks of a whole segment, each as its bytes. Raises ArchiveDamaged."""
    at = 0
    for block in table_of(content):
        yield content[at : at + block.size]
        at += block.size


def key_of(record_id: str) -> bytes:
    """The 16 bytes of an identity. Raises ArchiveDamaged."""
    found: UUID | None = public_ids.record_uuid(record_id)
    if found is None:
        raise ArchiveDamaged("a listing of the segment contains an invalid record id")
    return found.bytes


def _by_batch(listing: Listing) -> Iterator[tuple[LineBatch, int]]:
    """The batch of each line, and the line's number in the block."""
    number = 0
    for part in listing.batches:
        batch = LineBatch(part.number, part.source, from_microseconds(part.accepted_at))
        for _ in range(part.lines):
            yield batch, number
            number += 1
