"""The walk finds the same errors as a simple one, and handles hostile records in groups of entries."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake import envelope_errors, json_syntax, json_tree, landing, walk_nodes, walk_rules
from lake.envelope import Envelope, Participant
from lake.envelope_errors import explain
from lake.fast_decoding import decode_quickly
from lake.field_errors import MAX_ERRORS
from lake.formats import FORMATS
from lake.known_ids import Catalog, check_known
from lake.walk import PROVEN_TOGETHER, Walk
from tests.lake.plain_walk import plainly
from tests.lake.trees import sizes_given_to, sizes_of_trees

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
        "\\ud83d?",
        'a,\\"data\\":{}',
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
DEEP = st.sampled_from([400, 1100]).flatmap(
    lambda depth: st.sampled_from(["[" * depth + "]" * depth, '[{"a":' * depth + "1" + "}]" * depth])
)
MAPPINGS = st.lists(st.tuples(NAMES, SCALARS | DEEP), max_size=12).map(
    lambda members: "{" + ", ".join(f'"{key}" :{value}' for key, value in members) + "}"
)
VALUES = VALUES | DEEP | MAPPINGS
DATA = [
    "{}",
    '{"data":{}}',
    '{"x": {"a":1,"data":{}} }',
    '{"a":"{\\"data\\":{}}"}',
    '{"a":"\\ud800"}',
    "[]",
    '{"other":1}',
    '{"a":' + "[" * 1100 + "]" * 1100 + "}",
]


@given(st.lists(st.tuples(FIELDS, VALUES), max_size=5), st.sampled_from(DATA), st.booleans(), st.booleans())
@settings(max_examples=400, deadline=None)
def test_walk_finds_the_same_errors_as_the_simple_walk(
    members: list[tuple[str, str]], data: str, is_data_first: bool, by_places: bool
) -> None:
    given_fields = [HEAD, *(f'"{key}" : {value}' for key, value in members)]
    ordered = [f'"data":{data}', *given_fields] if is_data_first else [*given_fields, f'"data":{data}']
    raw = ("{" + ",\n".join(ordered) + "}").encode()
    expected = plainly(raw)
    with pytest.MonkeyPatch.context() as patch:
        if by_places:
            patch.setattr(walk_nodes, "SHORT_BYTES", 0)
        found = explain(raw)
    assert found.errors == expected.errors
    if expected.errors:
        assert (found.attachment_count, found.type) == (expected.attachment_count, expected.type)
    else:
        assert found.envelope is not None
        assert bytes(found.envelope.data) == data.encode() or '"data"' in str(members)


@given(st.lists(st.tuples(NAMES, SCALARS), max_size=8), st.sampled_from([0, 1 << 20]))
def test_fast_path_never_accepts_a_repeated_key(members: list[tuple[str, str]], short: int) -> None:
    entry = "{" + " , ".join(f'"{key}"\t: {value}' for key, value in members) + "}"
    raw = (
        f'{{{HEAD},"_participants":[{entry}],"_pii":{{"detected_entities":[{entry}]}},"data":{{"a":{{"a":1,"a":2}}}}}}'
    )
    envelope = decode_quickly([raw.encode()])[0]
    assert envelope is None or not plainly(raw.encode()).errors


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The values that the walk visits one by one."""
    seen: list[Any] = []
    plain: Callable[..., None] = Walk.value

    def value(self: Walk, node: Any, *rest: Any) -> None:
        seen.append(node)
        plain(self, node, *rest)

    monkeypatch.setattr(Walk, "value", value)
    return seen


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    return sizes_of_trees(monkeypatch)


def record(old: str, new: str) -> bytes:
    return f'{{{HEAD},"data":{{}}}}'.replace(old, new).encode()


MANY_IDS = ",".join(f'"key number {n}":"v"' for n in range(50_000))
MANY_ENTITIES = ",".join(['{"type":"a"}'] * 50_000)
HOSTILE = {
    "lone surrogate": record('"x":"1"', MANY_IDS + ',"\\ud800":"1"'),
    "repeated": record('"x":"1"', MANY_IDS + ',"key number 7":"1"'),
    "deep": record('"x":"1"', MANY_IDS + ',"z":' + "[" * 2000 + "]" * 2000),
    "entities": record('"data"', f'"_pii":{{"detected_entities":[{MANY_ENTITIES},{{"type":1}}]}},"data"'),
    "project ids": record('["a"]', json.dumps([f"p{n}" for n in range(50_000)] + [1])),
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_long_record_with_one_error_is_searched_in_groups(looks: list[Any], groups: list[int], raw: bytes) -> None:
    found = explain(raw)
    assert found.errors == plainly(raw).errors
    assert len(found.errors) == 1
    assert len(looks) < 10
    assert max(groups) < len(raw) / 20
    assert len(groups) < 100


def test_valid_entries_beside_an_invalid_one_are_not_visited_one_by_one(looks: list[Any]) -> None:
    sound = '{"id":"a","role":"internal","email":"a@b.c"}'
    raw = record('"data"', f'"_participants":[{",".join([sound] * 100)},{{"id":"a","role":"x"}}],"data"')
    assert [error.pointer for error in explain(raw).errors] == ["/_participants/100/role"]
    assert len(looks) < 10


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the texts that are read as a whole."""
    monkeypatch.setattr(envelope_errors, "_decode_data", lambda text: pytest.fail("the data was searched for"))
    return sizes_given_to(json_syntax, "decode", monkeypatch)


def test_data_is_found_at_the_end_of_a_record_without_reading_the_record(decoded: list[int]) -> None:
    raw = record('"x":"1"', MANY_IDS + ',"\\ud800":"1"').replace(b'"data":{}', b'"data" : {"a":{"b":"\\ud800"}}')

    assert [error.pointer for error in explain(raw, is_json=True).errors] == ["/_vendor_ids/\ufffd"]
    # Only to prove that it is not the data for which decoders refuse the record.
    assert sum(size > 1000 for size in decoded) == 1


@pytest.mark.parametrize("after", ["", ',"data":{}', ',"_tags":[]'])
def test_deep_data_is_found_wherever_it_is(after: str) -> None:
    deep = '{"data":' + '{"data":[' * 600 + "]}" * 600 + "}"
    raw = record("{}", f"{deep}{after}")
    found = explain(raw)
    assert found.errors == plainly(raw).errors
    assert bool(found.errors) == ("data" in after)
    assert found.envelope is None or bytes(found.envelope.data) == deep.encode()


def test_deep_data_at_the_end_is_not_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk_nodes, "last_member", lambda *_: pytest.fail("the data was searched for"))
    deep = b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}"
    envelope = explain(record("{}", deep.decode())).envelope
    assert envelope is not None
    assert bytes(envelope.data) == deep


@pytest.fixture
def tested_emails(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The texts that are tested for the form of an e-mail address."""
    seen: list[str] = []
    holds, wrong = FORMATS["email"]

    def noted(text: str) -> bool:
        seen.append(text)
        return holds(text)

    walk_rules.struct_rules.cache_clear()
    with monkeypatch.context() as patch:
        patch.setitem(FORMATS, "email", (noted, wrong))
        yield seen
    walk_rules.struct_rules.cache_clear()


def test_few_wrong_values_are_tested_twice(tested_emails: list[str]) -> None:
    wrong = [f"no address {n}" for n in range(PROVEN_TOGETHER + 20)]
    entries = ",".join(f'{{"id":"a","role":"internal","email":"{one}"}}' for one in wrong)

    errors = explain(record('"data"', f'"_participants":[{entries}],"data"')).errors

    assert [error.pointer for error in errors] == [f"/_participants/{n}/email" for n in range(len(wrong))]
    # The first one shows that its group has errors. The next group is visited without a test.
    assert tested_emails == [wrong[0], *wrong]


def test_error_among_sound_objects_is_found_in_each_group() -> None:
    sound, wrong = '{"id":"a","role":"internal"}', '{"id":"a","role":"internal","id":"b"}'
    places = [0, PROVEN_TOGETHER - 1, 3 * PROVEN_TOGETHER, 9 * PROVEN_TOGETHER + 1, 20 * PROVEN_TOGETHER]
    entries = ",".join([wrong if n in places else sound for n in range(20 * PROVEN_TOGETHER + 1)])

    errors = explain(record('"data"', f'"_participants":[{entries}],"data"')).errors

    assert [error.pointer for error in errors] == [f"/_participants/{n}/id" for n in places]


@pytest.mark.parametrize(
    "wrong",
    [
        '{"id":"a"}',
        '{"id":"a","role":"internal","zz":"1"}',
        '{"id":1,"role":"internal"}',
        '{"id":["a"],"role":"internal"}',
        '{"id":"a","role":1}',
        '{"id":"a","role":"internal","email":"a"}',
        '{"id":"a","role":"internal","id":"a"}',
        '{"id":"' + "a" * 257 + '","role":"internal"}',
        '{"id":"\\ud800","role":"internal"}',
        "[]",
        "1",
    ],
)
def test_group_of_objects_with_one_wrong_object_is_not_sound(wrong: str) -> None:
    rules = walk_rules.struct_rules(Participant)
    sound = ['{"id":"a","role":"internal","email":"a@b.c"}', '{"role":"external","id":"é","name":"b"}'] * 3
    assert rules.all_hold(json_tree.tree(f"[{','.join(sound)}]".encode()))
    assert not rules.all_hold(json_tree.tree(f"[{','.join([*sound, wrong])}]".encode()))


def test_walk_stops_at_the_maximum_number_of_errors(looks: list[Any]) -> None:
    entries = ",".join(['{"id":"a","role":"x","email":"@","zz":1}'] * 5000)
    assert len(explain(record('"data"', f'"_participants":[{entries}],"data"')).errors) == MAX_ERRORS
    assert len(looks) < 2 * MAX_ERRORS


def test_record_with_spaces_or_escapes_is_proven_by_the_fast_path() -> None:
    entry = '{"id" : "\\u0061", "role": "internal", "name":"\\":"}'
    raw = record('"data"', f'"_participants" : [{entry}], "data"')
    assert decode_quickly([raw])[0] is not None
    repeated = record('"data"', f'"_participants" : [{entry[:-1]},"name":"\\":"}}], "data"')
    assert decode_quickly([repeated])[0] is None


def test_large_integer_in_scientific_notation_is_read() -> None:
    raw = record('"data"', '"_attachments":[{"type":"file","size":1e4299},{"type":"file","size":5.0}],"data"')
    envelope = explain(raw).envelope
    assert envelope is not None
    assert [one.size for one in envelope.attachment_list] == [10**4299, 5]


def test_examination_stops_once_a_body_has_too_many_attachments(monkeypatch: pytest.MonkeyPatch) -> None:
    explained: list[bytes] = []
    plain = envelope_errors.explain

    def explain(raw: bytes, **given: Any) -> envelope_errors.Explained:
        explained.append(raw)
        return plain(raw, **given)

    monkeypatch.setattr(landing, "explain", explain)
    entries = ",".join(['{"type":"file","size":5.0}'] * 10)
    raw = record('"data"', f'"_attachments":[{entries}],"data"')
    with pytest.raises(landing.TooManyAttachments):
        landing.examine(
            [raw] * 1000, lambda products, projects: Catalog(frozenset(), frozenset()), max_attachments=1000
        )
    assert len(explained) == 101


def test_first_100_unknown_projects_are_reported_at_their_first_position() -> None:
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
