"""CSV in any dialect, with a mapping file."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evermuse.client.convert import UsageError
from tests.evermuse.client.convert.running import run

MAPPING = """
vendor_ids = { crm = "Case" }
event_at = { column = "Opened", format = ["%d.%m.%Y %H:%M", "%d.%m.%Y"], timezone = "Europe/Berlin" }
thread_id = "Case"
type = "call"
tags = ["Kind"]
tag_separator = ";"
participants = [{ name = "Agent", email = "Mail", role = { value = "internal" } }]
attachments = [{ vendor_url = "Link" }]
"""
HEADER = ["Case", "Opened", "Kind", "Agent", "Mail", "Link", "Text"]
ROW = ["1", "31.01.2024 10:00", "a;b", "Jörg", "j@x.example", "https://x.example/a", 'He said "hi",\nthen left']


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    file = tmp_path / "mapping.toml"
    file.write_text(MAPPING)
    return file


def table(rows: list[list[str]], delimiter: str = ",") -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
def test_any_dialect_and_encoding_gives_the_same_record(
    tmp_path: Path, mapping: Path, delimiter: str, encoding: str
) -> None:
    file = tmp_path / "cases.csv"
    file.write_bytes(table([HEADER, ROW], delimiter).encode(encoding))
    (record,) = run("csv", file, folder=tmp_path, mapping=mapping).records
    assert record["data"] == dict(zip(HEADER, ROW, strict=True))
    assert (record["_type"], record["_event_at"], record["_tags"]) == ("call", "2024-01-31T09:00:00Z", ["a", "b"])
    assert record["_participants"] == [
        {"id": "j@x.example", "role": "internal", "email": "j@x.example", "name": "Jörg"}
    ]
    assert record["_attachments"] == [{"type": "file", "vendor_url": "https://x.example/a"}]


def test_rows_that_cannot_be_converted_are_rejected_with_their_offset(tmp_path: Path, mapping: Path) -> None:
    file = tmp_path / "cases.csv"
    file.write_bytes(
        table([HEADER, ["1", "soon"], [], ["", "31.01.2024"], ["3", "31.01.2024"], [*ROW, "more", "cells"]]).encode()
    )
    done = run("csv", file, folder=tmp_path, mapping=mapping)
    assert [one["data"].get("column 8") for one in done.records] == [None, "more"]
    content = file.read_bytes()
    assert [content[reject["offset"] :].split(b"\r\n")[0] for reject in done.rejects] == [b"1,soon", b",31.01.2024"]


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2024-01-31T10:00:00+01:00", "2024-01-31T09:00:00Z"),
        ("2024-01-31", "2024-01-31T00:00:00Z"),
        ("1706691600", "2024-01-31T09:00:00Z"),
        ("1706691600000", "2024-01-31T09:00:00Z"),
        ("Wed, 31 Jan 2024 10:00:00 +0100", "2024-01-31T09:00:00Z"),
    ],
)
def test_dates_without_a_format_are_recognized(tmp_path: Path, text: str, at: str) -> None:
    mapping = tmp_path / "mapping.json"
    mapping.write_text(json.dumps({"vendor_ids": {"x": "id"}, "event_at": "at"}))
    (tmp_path / "a.csv").write_text(table([["id", "at", "at"], ["1", text, "again"]]))
    record = run("csv", tmp_path / "a.csv", folder=tmp_path, mapping=mapping).records[0]
    assert (record["_event_at"], record["data"]["at (3)"]) == (at, "again")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("vendor_ids = { a = 'Nowhere' }\nevent_at = 'Opened'", "no column Nowhere"),
        ("vendor_ids = {}\nevent_at = 'Opened'", "at least one"),
        ("vendor_ids = { a = 'Case' }", "event_at"),
        ("vendor_ids = { a = 'Case' }\nevent_at = 'Opened'\nunknown = 1", "unknown"),
        ("no toml", "mapping.toml"),
        ("vendor_ids = { a = 'Case' }\nevent_at = { column = 'Opened', timezone = 'Mars/Base' }", "Mars/Base"),
    ],
)
def test_wrong_mapping_is_refused_with_the_reason(tmp_path: Path, mapping: Path, content: str, message: str) -> None:
    mapping.write_text(content)
    (tmp_path / "a.csv").write_text(table([HEADER, ROW]))
    with pytest.raises(UsageError, match=message):
        run("csv", tmp_path / "a.csv", folder=tmp_path, mapping=mapping)


CELL = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\r\x00"), max_size=15)


@given(st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=6))
@settings(max_examples=100, deadline=None)
def test_cells_come_back_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    folder = tmp_path_factory.mktemp("csv")
    (folder / "m.json").write_text(json.dumps({"vendor_ids": {"x": "id"}, "event_at": "at"}))
    (folder / "a.csv").write_bytes(
        table([["id", "at", "a", "b", "c"], *[["1", "2024-01-31", *cells] for cells in rows]]).encode()
    )
    done = run("csv", folder / "a.csv", folder=folder, mapping=folder / "m.json")
    assert [[one["data"][name] for name in "abc"] for one in done.records] == rows


def test_rows_without_a_date_get_the_given_time_and_those_with_a_wrong_one_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,day\n1,\n2,2024-01-01\n3,someday\n")
    (tmp_path / "m.json").write_text('{"vendor_ids": {"crm": "id"}, "event_at": "day"}')
    given: dict[str, Any] = {"folder": tmp_path, "event_at": "2020-02-02T02:02:02Z"}
    done = run("csv", tmp_path / "a.csv", mapping=tmp_path / "m.json", **given)
    assert [one["_event_at"] for one in done.records] == ["2020-02-02T02:02:02Z", "2024-01-01T00:00:00Z"]
    assert done.writer.rejected == 1
    (tmp_path / "without.json").write_text('{"vendor_ids": {"crm": "id"}}')
    done = run("csv", tmp_path / "a.csv", mapping=tmp_path / "without.json", **given)
    assert {one["_event_at"] for one in done.records} == {"2020-02-02T02:02:02Z"}
    with pytest.raises(UsageError, match="event_at is needed"):
        run("csv", tmp_path / "a.csv", mapping=tmp_path / "without.json", folder=tmp_path)


SIMPLE = 'vendor_ids = { crm = "id" }\nevent_at = "at"\n'


@pytest.mark.parametrize(
    ("text", "more", "expected"),
    [
        ("sep=;\r\nid;at;t\r\n1;2024-01-01;a,b\r\n", "", "a,b"),
        ('\ufeff"sep=;"\r\nid;at;t\r\n1;2024-01-01;a,b\r\n', "", "a,b"),
        ('id, at, t\n1, 2024-01-01, "a, b"\n', "", "a, b"),
        ('id,at,t\n1,2024-01-01,"a \\"b\\", c"\n', 'escapechar = "\\\\"', 'a "b", c'),
    ],
)
def test_dialects_of_spreadsheets_and_databases_are_read(tmp_path: Path, text: str, more: str, expected: str) -> None:
    (tmp_path / "map.toml").write_text(SIMPLE + more)
    (tmp_path / "a.csv").write_text(text, encoding="utf-8", newline="")
    done = run("csv", tmp_path / "a.csv", folder=tmp_path, mapping=tmp_path / "map.toml")
    assert [record["data"]["t"] for record in done.records] == [expected]
    assert (done.rejects, dict(done.writer.notes)) == ([], {})


@pytest.mark.parametrize("last", ['3,"2024-01-03"', "3,2024-01-03"])
def test_quote_that_is_never_closed_costs_only_its_own_row(tmp_path: Path, last: str) -> None:
    (tmp_path / "map.toml").write_text(SIMPLE)
    (tmp_path / "a.csv").write_text(f'id,at\n1,"2024-01-01\n2,2024-01-02\n{last}\n')
    done = run("csv", tmp_path / "a.csv", folder=tmp_path, mapping=tmp_path / "map.toml")
    assert [record["_vendor_ids"]["crm"] for record in done.records] == ["2", "3"]
    assert [one["offset"] for one in done.rejects] == [6]
    assert done.reasons[0].startswith("the row cannot be read, perhaps because a quote is not closed")


def test_row_with_quotes_inside_of_a_cell_is_read(tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text(SIMPLE)
    (tmp_path / "a.csv").write_text('id,at,t\n1,2024-01-01,"say "hi" now"\n2,2024-01-02,5" disk\n')
    done = run("csv", tmp_path / "a.csv", folder=tmp_path, mapping=tmp_path / "map.toml")
    assert [record["data"]["t"] for record in done.records] == ['say hi" now"', '5" disk']


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        ('vendor_ids = {a = "id"}\nevent_at = {column = "at", format = "%Q"}', "'Q' is a bad directive"),
        (SIMPLE + 'participants = [{id = "id", role = {value = "boss"}}]', "boss is not one of external, internal"),
        (SIMPLE + 'participants = [{id = "id", type = {value = "x"}}]', "type of a participant: x is not one of"),
        (SIMPLE + "has_header = false", "the columns are named column 1, column 2 and so on, and not at, id"),
        (SIMPLE + 'escapechar = "ab"', "have one character"),
    ],
)
def test_mapping_that_would_fail_or_lose_something_in_each_row_is_refused(
    tmp_path: Path, mapping: str, reason: str
) -> None:
    (tmp_path / "map.toml").write_text(mapping)
    (tmp_path / "a.csv").write_text("id,at\n1,2024-01-01\n")
    with pytest.raises(UsageError, match=reason):
        run("csv", tmp_path / "a.csv", folder=tmp_path, mapping=tmp_path / "map.toml")
