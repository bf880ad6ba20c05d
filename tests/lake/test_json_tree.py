"""The tree of a short record and the places in a long one: the same rules, so the same verdict."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake import envelope_errors, json_tree
from lake.envelope import MAX_ERRORS, Catalog, Envelope, check_known, decode_quickly
from lake.envelope_errors import _Places, explain

HEAD = (
    '"_type":"message","_schema_version":"1.0.0","_event_at":"2026-01-31T12:00:00Z","_vendor_ids":{"x":"1"},'
    '"_product_id":"p","_project_ids":["a"]'
)
SCALARS = st.sampled_from(
    ['1', '5.0', '50e-1', '-0', '0.5', '2', '-1', '"a@b.c"', '"x"', '"internal"', '"file"', '"\\ud800"', '"\\u00e9"', "true",
     "null", "{}", "[]", '[{"a":1}]', '"http://a/b"', f'"{"l" * 600}"', "9" * 5000]
)  # fmt: skip
NAMES = st.sampled_from(
    [
        "id",
        "role",
        "email",
        "type",
        "size",
        "vendor_url",
        "value",
        "confidence",
        "\\u0069d",
        "x/y~z",
        "\\ud83d",
        "é" * 140,
    ]
)
OBJECTS = st.lists(st.tuples(NAMES, SCALARS), max_size=6).map(
    lambda members: "{" + ",".join(f'"{key}":{value}' for key, value in members) + "}"
)
ARRAYS = st.lists(SCALARS | OBJECTS, max_size=60).map(lambda entries: "[" + " , ".join(entries) + "]")
FIELDS = st.sampled_from(
    [
        "_participants",
        "_attachments",
        "_tags",
        "_pii",
        "_vendor_ids",
        "_type",
        "data",
        "d\\u0061ta",
        "_project_id",
        "other",
    ]
)
VALUES = SCALARS | OBJECTS | ARRAYS | ARRAYS.map(lambda entries: f'{{"detected_entities":{entries}}}')


def by_places(raw: bytes) -> envelope_errors.Explanation:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envelope_errors, "SHORT_BYTES", 0)
        return explain(raw)


def told(found: envelope_errors.Explanation) -> Any:
    if found.envelope is not None:
        return msgspec.json.encode(found.envelope)
    return found.errors, found.attachment_count, found.type


@given(st.lists(st.tuples(FIELDS, VALUES), max_size=4), st.sampled_from(["{}", '{"a":"\\ud800"}', "[]", '{"other":1}']))
def test_both_ways_tell_the_same(members: list[tuple[str, str]], data: str) -> None:
    raw = ("{" + ",".join([HEAD, *(f'"{key}" : {value}' for key, value in members)]) + f',"data":{data}}}').encode()
    assert told(explain(raw)) == told(by_places(raw))


@pytest.mark.parametrize(
    "text", ['{"a":1,"a":2.50,"b":[{},[],"",null,true,false,1E5]}', '{"\\ud800":"\\ud800"}', "123", '"1"'],
)  # fmt: skip
def test_a_tree_keeps_repeated_keys_and_the_spelling_of_numbers(text: str) -> None:
    expected: dict[str, Any] = {
        '{"a"': (("a", "1"), ("a", "2.50"), ("b", [(), [], "", None, True, False, "1E5"])),
        '{"\\u': (("\ud800", "\ud800"),),
        "123": "123",
        '"1"': "1",
    }
    found = json_tree.tree(text.encode())
    assert found == expected[text[:4]]
    assert json_tree.opening(found) == text[:1].encode()


@pytest.fixture
def visits(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is looked at by its place."""
    seen: list[Any] = []
    plain: Callable[..., bytes] = _Places.opening

    def opening(self: _Places, node: Any) -> bytes:
        seen.append(node)
        return plain(self, node)

    monkeypatch.setattr(_Places, "opening", opening)
    return seen


@pytest.mark.parametrize(
    "field",
    [
        '"_participants":[' + ",".join(['{"id":"a","role":"x","zz":1}'] * 100) + "]",
        '"_participants":[' + ",".join(['{"id":"a","role":"internal","email":"@"}'] * 100) + "]",
        ",".join(['"other":1'] * 800),
    ],
)
def test_no_value_of_a_short_record_is_looked_for_in_its_text(visits: list[Any], field: str) -> None:
    found = explain(f'{{{HEAD},{field},"data":{{}}}}'.encode())
    assert found.errors
    assert not visits


def test_values_of_a_long_object_of_strings_are_not_looked_for_one_by_one(visits: list[Any]) -> None:
    ids = ",".join(f'"key number {n}":"v"' for n in range(50_000))
    raw = f'{{{HEAD},"data":{{}}}}'.replace('"x":"1"', ids + ',"\\ud800":"1"').encode()
    assert len(raw) > envelope_errors.SHORT_BYTES
    assert [error.message for error in explain(raw).errors] == ["_vendor_ids.\ufffd: the name holds a lone surrogate"]
    assert len(visits) < 100


def test_of_unknown_projects_the_first_100_are_told_where_they_stand_first() -> None:
    ids = [f"p{n // 2}" for n in range(1000)]
    listed = ",".join(f'"{one}"' for one in ids)
    raw = f'{{{HEAD.replace(chr(34) + "a" + chr(34), listed)},"_project_id":"p0","data":{{}}}}'.encode()
    envelope = decode_quickly([raw])[0]
    assert isinstance(envelope, Envelope)
    errors = check_known(envelope, Catalog(frozenset({"p"}), frozenset({"p1"})))
    assert len(errors) == MAX_ERRORS
    told = [(error.code, error.pointer, error.message) for error in errors[:2]]
    rule = "is not known in this workspace"
    assert told == [
        ("UNKNOWN_PROJECT", "/_project_ids/0", f"_project_ids[0]: the project 'p0' {rule}"),
        ("UNKNOWN_PROJECT", "/_project_ids/4", f"_project_ids[4]: the project 'p2' {rule}"),
    ]
