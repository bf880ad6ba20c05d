"""PostgreSQL reads an array that we encode like the equivalent plain list."""

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from evermuse import prepared
from evermuse.binary_arrays import BinaryArray, byteas, int4s, int8s, int8s_of_bytes, timestamps, uuids

NUMBERS = [0, 1, -1, 2**31 - 1, -(2**31)]
LARGE = [*NUMBERS, 2**63 - 1, -(2**63)]
IDS = [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.UUID(int=7)]
SECONDS = [0, 946_684_800, 1_800_000_000, -62_135_596_800]
CASES: dict[str, tuple[str, BinaryArray, list[Any]]] = {
    "int4s": ("int[]", int4s(NUMBERS), NUMBERS),
    "int8s": ("bigint[]", int8s(LARGE), LARGE),
    "int8s_of_bytes": ("bigint[]", int8s_of_bytes([n.to_bytes(8, "big", signed=True) for n in LARGE]), LARGE),
    "uuids": ("uuid[]", uuids([one.bytes for one in IDS]), IDS),
    "byteas": ("bytea[]", byteas([b"", b"\0\xff", b"x" * 70_000]), [b"", b"\0\xff", b"x" * 70_000]),
    "timestamps": ("timestamptz[]", timestamps(SECONDS), [datetime.fromtimestamp(s, UTC) for s in SECONDS]),
    "empty": ("int[]", int4s([]), []),
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", CASES)
def test_binary_array_reaches_postgresql_as_the_plain_list_does(name: str) -> None:
    kind, encoded, plain = CASES[name]
    statement = f"SELECT %(encoded)b = %(plain)s::{kind}, %(encoded)b, %(plain)s::{kind}"
    [(is_equal, first, second)] = prepared.rows(statement, {"encoded": encoded, "plain": plain})
    assert is_equal
    assert first == second == plain
