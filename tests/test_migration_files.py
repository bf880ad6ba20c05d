"""Migrations stay in use for years, so they contain what they need instead of importing the product."""

import ast
import json
from importlib import import_module
from pathlib import Path

import pytest

from ingest import parsers
from lake.envelope_errors import check_schema
from tests.records import record

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = {"ingest", "attachments", "lake", "evermuse", "deploy", "tests"}
JSON, NDJSON = "application/json", "application/x-ndjson"


def imported(source: str) -> set[str]:
    """Returns the packages that a module imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def test_no_migration_imports_the_product() -> None:
    files = [path for app in sorted(PRODUCT) for path in (ROOT / app).rglob("migrations/*.py")]
    assert len(files) > 30
    assert {path.name: names for path in files if (names := imported(path.read_text()) & PRODUCT)} == {}


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        (JSON, b'[{"a": 1}, {"b": [1, {"c": "]}, "}]}]'),
        (JSON, b'\xef\xbb\xbf \n[ {"a": "\\\\"} ,\t{"b": "\\""}\r\n]  '),
        (JSON, b' {"_type": "x", "list": [1, 2], "data": {"records": [3]}} '),
        (JSON, b' { "records" : [ {"a": 1} , {"records": [2]} ] } '),
        (JSON, b'{"\\u0072ecords": [{"a": 1}]}'),
        (JSON, b'{"a": "\\ud800"}'),
        (JSON, b'[{"a": "\\udfff"}, {"b": ' + b"[" * 3000 + b"]" * 3000 + b"}]"),
        (NDJSON, b'\xef\xbb\xbf{"a": 1}\r\n\n  {"b": "\xe2\x80\xa8"}  \n \n{"c": 3'),
    ],
)
def test_migration_finds_the_same_places_of_records_as_the_parser(media_type: str, body: bytes) -> None:
    migration = import_module("ingest.migrations.0004_find_places")
    find = migration.lines if media_type == NDJSON else migration.records_of_json
    split = parsers.split(body, media_type)
    assert find(body) == [(place.offset, place.size) for place in split.places(1)]
    assert [body[at : at + size] for at, size in find(body)] == split.raws


@pytest.mark.parametrize(
    "data", ['"\\ud800"', "[" * 3000 + "]" * 3000, '{"_vendor_ids": {"b:c": "other"}}', '"\\"}, {"']
)
def test_migration_finds_the_same_vendor_ids_as_the_validator(data: str) -> None:
    migration = import_module("lake.migrations.0008_vendor_keys")
    raw = (
        json.dumps(record(vendor_ids={"a:b%": "1,}", "ä": "]"}, data=0))
        .replace('"data": 0', f'"data": {{"x": {data}}}')
        .encode()
    )
    envelope = check_schema(raw)
    assert not isinstance(envelope, list)
    assert migration._vendor_ids_of_any_json(raw) == migration._vendor_ids(raw) == envelope.vendor_ids
