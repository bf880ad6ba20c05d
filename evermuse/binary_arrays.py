"""Arrays in PostgreSQL's binary format, encoded as a whole. psycopg encodes value by value, which is several times slower.

A plain list as a parameter has the same effect; a test proves it for each type. The format: the number of
dimensions, a flag for NULLs and the elements' type; the dimension's length and lower bound; then each element after its
length. There are no NULLs here. Source: PostgreSQL, src/backend/utils/adt/arrayfuncs.c, array_recv.
"""

import struct
from collections.abc import Iterable, Sequence
from itertools import repeat

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

_int4, _int8, _length = struct.Struct(">ii").pack, struct.Struct(">iq").pack, struct.Struct(">i").pack
_BIGINT_LENGTH, _UUID_LENGTH = _length(8), _length(16)
# From pg_type: the type of the element and of its array.
_BYTEA, _INT4, _INT8, _TIMESTAMPTZ, _UUID = (17, 1001), (23, 1007), (20, 1016), (1184, 1185), (2950, 2951)
_SECONDS_TO_2000 = 946_684_800


class BinaryArray:
    """An encoded parameter for psycopg."""

    __slots__ = ("content", "oid")

    def __init__(self, oids: tuple[int, int], count: int, elements: Iterable[bytes]) -> None:
        element, self.oid = oids
        dimensions = struct.pack(">iii", 1, 0, element) + struct.pack(">ii", count, 1)
        self.content = dimensions + b"".join(elements) if count else struct.pack(">iii", 0, 0, element)


def int4s(values: Sequence[int]) -> BinaryArray:
    """integer[]."""
    return BinaryArray(_INT4, len(values), map(_int4, repeat(4), values))


def int8s(values: Sequence[int]) -> BinaryArray:
    """bigint[]."""
    return BinaryArray(_INT8, len(values), map(_int8, repeat(8), values))


def int8s_of_bytes(values: Sequence[bytes]) -> BinaryArray:
    """bigint[], each given as its 8 bytes."""
    return BinaryArray(_INT8, len(values), (_BIGINT_LENGTH, _BIGINT_LENGTH.join(values)))


def uuids(values: Sequence[bytes]) -> BinaryArray:
    """uuid[], each given as its 16 bytes."""
    return BinaryArray(_UUID, len(values), (_UUID_LENGTH, _UUID_LENGTH.join(values)))


def byteas(values: Sequence[bytes]) -> BinaryArray:
    """bytea[]."""
    return BinaryArray(_BYTEA, len(values), (_length(len(value)) + value for value in values))


def timestamps(seconds: Sequence[int]) -> BinaryArray:
    """timestamptz[], from seconds since 1970."""
    since_2000 = [(value - _SECONDS_TO_2000) * 1_000_000 for value in seconds]
    return BinaryArray(_TIMESTAMPTZ, len(seconds), map(_int8, repeat(8), since_2000))


class _EncodedDumper(Dumper):
    """psycopg's hook: sends the bytes of a `BinaryArray` as its type."""

    format = Format.BINARY

    def get_key(self, obj: BinaryArray, format: object) -> tuple[type, int]:  # type: ignore[override]
        return BinaryArray, obj.oid

    def upgrade(self, obj: BinaryArray, format: object) -> Dumper:
        dumper = _EncodedDumper(BinaryArray, None)
        dumper.oid = obj.oid
        return dumper

    def dump(self, obj: BinaryArray) -> Buffer:
        return obj.content


def register() -> None:
    """Teach psycopg to send them. Django copies psycopg's table at its first connection, so call this before."""
    psycopg.adapters.register_dumper(BinaryArray, _EncodedDumper)
