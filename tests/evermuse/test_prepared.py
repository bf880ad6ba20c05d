"""The fast paths for a statement return what the plain one returns."""

from dataclasses import dataclass
from typing import Any

import pytest
from django.db import DataError, connection
from psycopg import _queries

from evermuse import prepared
from evermuse.named_rows import expect_count, fetch

STATEMENT = """
SELECT %(number)s::bigint AS number, %(text)s::text AS text, %(content)s::bytea AS content, %(numbers)s::int[] AS numbers,
  %(number)s::bigint + 1 AS following
"""
VALUES: dict[str, Any] = {
    "number": 2**40,
    "text": "ä '%s' \\ $1",
    "content": b"\0\xff'\\",
    "numbers": [1, -2],
}


@dataclass(frozen=True)
class Row:
    """The columns of `STATEMENT`."""

    number: int
    text: str
    content: bytes
    numbers: list[int]
    following: int


@pytest.mark.django_db
@pytest.mark.parametrize("binary", [False, True])
def test_prepared_statement_returns_the_same_rows_as_a_plain_one(binary: bool) -> None:
    [plain] = fetch(Row, STATEMENT, VALUES)
    assert plain == Row(2**40, VALUES["text"], VALUES["content"], [1, -2], 2**40 + 1)
    assert prepared.rows_of(Row, STATEMENT, VALUES, binary=binary) == [plain]
    assert prepared.rows(STATEMENT, VALUES, binary=binary) == [tuple(vars(plain).values())]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("name", "cast"),
    [("number", "bigint"), ("text", "text"), ("content", "bytea"), ("numbers", "int[]")],
)
def test_parameter_of_a_prepared_statement_arrives_unchanged(name: str, cast: str) -> None:
    statement = f"SELECT md5((%({name})s::{cast})::text) AS sum"
    with connection.cursor() as cursor:
        cursor.execute(statement, VALUES)
        (plain,) = cursor.fetchone()
    assert not connection.in_atomic_block
    assert prepared.value(statement, VALUES) == plain


@pytest.mark.django_db(transaction=True)
def test_parameter_that_a_statement_names_twice_is_sent_once() -> None:
    assert prepared.value("SELECT %(a)s::int - %(b)s::int - %(a)s::int", {"b": 3, "a": 5}) == "-3"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("run", [prepared.value, prepared.rows])
def test_error_of_a_prepared_statement_is_a_django_exception(run: Any) -> None:
    with pytest.raises(DataError):
        run("SELECT %(text)s::int", {"text": "none"})


def test_state_change_that_misses_a_row_raises() -> None:
    expect_count("claim", changed=2, expected=2)
    with pytest.raises(RuntimeError, match="claim: 2 rows expected, 1 changed"):
        expect_count("claim", changed=1, expected=2)


@pytest.mark.django_db(transaction=True)
def test_long_statement_among_several_is_converted_without_looking_for_its_placeholders_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [plain] = fetch(Row, STATEMENT, VALUES)
    longer = f"{STATEMENT} -- {'x' * 5000}"
    statements = [(Row, longer, VALUES), (None, STATEMENT, VALUES | {"text": None})]
    before = _queries._query2pg_nocache

    def unexpected(query: bytes, encoding: str) -> Any:
        assert len(query) < 5000
        return before(query, encoding)

    monkeypatch.setattr(_queries, "_query2pg_nocache", unexpected)

    for _ in range(2):
        [row], [other] = prepared.rows_of_several(*statements)
        assert row == plain
        assert other == (*tuple(vars(plain).values())[:1], None, *tuple(vars(plain).values())[2:])
