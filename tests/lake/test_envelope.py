"""The validator applies every rule of the envelope and reports field and rule; its fast and slow paths agree."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.envelope import Envelope
from lake.envelope_errors import check_schema
from lake.fast_decoding import GROUP_RECORDS, decode_quickly
from lake.field_errors import MAX_ERRORS, FieldError
from lake.known_ids import Catalog
from lake.landing import examine
from tests.records import record

PARTICIPANT = {"id": "u1", "role": "internal"}
FILE = {"type": "file"}


def errors_of(value: Any) -> list[FieldError]:
    """Returns the errors of a record; a valid one has none."""
    found = check_schema(value if isinstance(value, bytes) else json.dumps(value).encode())
    return found if isinstance(found, list) else []


VALID: list[dict[str, Any]] = [
    {},
    {"type": "Email_THREAD"},
    {"event_at": "2024-02-29T23:59:59.123Z"},
    {"event_at": "0001-01-01T00:00:00Z"},
    {"vendor_ids": {"": "", "a": "\u0000"}},
    {"product_id": "😀" * 128},
    {"project_ids": None, "project_id": "p"},
    {"project_ids": ["a"], "project_id": "b"},
    {"nature": "guidance"},
    {"thread_id": "x" * 512},
    {"participants": [PARTICIPANT] * 5000},
    {"participants": []},
    {"participants": [PARTICIPANT | {"name": "n" * 256, "email": "a@b.example", "type": "bot"}]},
    {"attachments": [FILE | {"size": 0, "vendor_url": "https://x.example/a?b=c#d", "mime_type": "m", "sha1": "s"}]},
    {"attachments": [FILE | {"size": 10**30}]},
    {"attachments": [FILE | {"size": 5.0}, FILE | {"size": 5e22}, FILE | {"size": -0.0}]},
    {"attachments": [FILE | {"vendor_url": "ftp://x.example/a"}]},
    {"tags": ["t" * 64] * 200},
    {"pii": {}},
    {"pii": {"contains_email": True, "sensitive_score": 1, "detected_entities": [{"type": "x", "confidence": 0.0}]}},
    {"data": {}},
]

INVALID: list[tuple[dict[str, Any], str, str]] = [
    ({"type": None}, "/_type", "required"),
    ({"type": "nonsense"}, "/_type", "one of"),
    ({"type": 5}, "/_type", "string"),
    ({"schema_version": "1.0"}, "/_schema_version", "1.0.0"),
    ({"schema_version": 1}, "/_schema_version", "string"),
    ({"event_at": "2026-02-30T00:00:00Z"}, "/_event_at", "instant"),
    ({"event_at": "2026-01-01T24:00:00Z"}, "/_event_at", "instant"),
    ({"event_at": "2026-01-01T00:00:60Z"}, "/_event_at", "instant"),
    ({"event_at": "2026-01-01T00:00:00"}, "/_event_at", ""),
    ({"event_at": "2026-01-01T00:00:00+00:00"}, "/_event_at", ""),
    ({"event_at": "2026-01-01T00:00:00.1234Z"}, "/_event_at", ""),
    ({"event_at": "2026-01-01T00:00:00Z\n"}, "/_event_at", ""),
    ({"event_at": "２026-01-01T00:00:00Z"}, "/_event_at", ""),
    ({"event_at": "0000-01-01T00:00:00Z"}, "/_event_at", ""),
    ({"vendor_ids": {}}, "/_vendor_ids", "at least"),
    ({"vendor_ids": []}, "/_vendor_ids", "object"),
    ({"vendor_ids": {"a/b~c": 1}}, "/_vendor_ids/a~1b~0c", "string"),
    ({"product_id": "x" * 129}, "/_product_id", "128"),
    ({"product_id": None}, "/_product_id", "required"),
    ({"project_ids": None}, "/_project_ids", "_project_id"),
    ({"project_ids": []}, "/_project_ids", "at least"),
    ({"project_ids": ["ok", 5]}, "/_project_ids/1", "string"),
    ({"project_ids": "p"}, "/_project_ids", "array"),
    ({"project_id": "x" * 129}, "/_project_id", "128"),
    ({"nature": "maybe"}, "/_nature", "one of"),
    ({"thread_id": "x" * 513}, "/_thread_id", "512"),
    ({"participants": [PARTICIPANT] * 5001}, "/_participants", "5,000"),
    ({"participants": [{"id": "x"}]}, "/_participants/0/role", "required"),
    ({"participants": [PARTICIPANT | {"x": 1}]}, "/_participants/0/x", "no field"),
    ({"participants": [PARTICIPANT | {"email": "no"}]}, "/_participants/0/email", "e-mail"),
    ({"participants": [PARTICIPANT | {"email": "a@" + "b" * 320}]}, "/_participants/0/email", ""),
    ({"participants": [PARTICIPANT | {"type": "alien"}]}, "/_participants/0/type", "one of"),
    ({"attachments": [FILE] * 11}, "/_attachments", "10"),
    ({"attachments": [{}]}, "/_attachments/0/type", "required"),
    ({"attachments": [FILE | {"size": -1}]}, "/_attachments/0/size", "at least 0"),
    ({"attachments": [FILE | {"size": True}]}, "/_attachments/0/size", "integer"),
    ({"attachments": [FILE | {"size": 1.5}]}, "/_attachments/0/size", "integer"),
    ({"attachments": [FILE | {"size": 5e-1}]}, "/_attachments/0/size", "integer"),
    ({"attachments": [FILE | {"vendor_url": "not a uri"}]}, "/_attachments/0/vendor_url", "URI"),
    ({"attachments": [FILE | {"vendor_url": "https://x.example/" + "a" * 2048}]}, "/_attachments/0/vendor_url", ""),
    ({"attachments": [FILE | {"sha1": "x" * 129}]}, "/_attachments/0/sha1", "128"),
    ({"tags": ["x" * 65]}, "/_tags/0", "64"),
    ({"tags": ["x"] * 201}, "/_tags", "200"),
    ({"pii": {"sensitive_score": 1.01}}, "/_pii/sensitive_score", "at most 1"),
    ({"pii": {"sensitive_score": -0.1}}, "/_pii/sensitive_score", "at least 0"),
    ({"pii": {"contains_email": "yes"}}, "/_pii/contains_email", "true or false"),
    ({"pii": {"detected_entities": [{"confidence": True}]}}, "/_pii/detected_entities/0/confidence", "number"),
    ({"pii": {"redaction_status": "gone"}}, "/_pii/redaction_status", "one of"),
    ({"pii": {"more": 1}}, "/_pii/more", "no field"),
    ({"data": None}, "/data", "required"),
    ({"data": []}, "/data", "object"),
    ({"data": "x"}, "/data", "object"),
    ({"surprise": 1}, "/_surprise", "no field"),
]  # fmt: skip


@pytest.mark.parametrize("changes", VALID)
def test_record_within_the_contract_is_valid(changes: dict[str, Any]) -> None:
    assert errors_of(record(**changes)) == []


@pytest.mark.parametrize(("changes", "pointer", "words"), INVALID)
def test_broken_rule_is_reported_with_its_field(changes: dict[str, Any], pointer: str, words: str) -> None:
    errors = errors_of(record(**changes))
    assert pointer in {e.pointer for e in errors}
    (error,) = [e for e in errors if e.pointer == pointer]
    assert error.code == "VALIDATION_ERROR"
    assert pointer.split("/")[1] in error.message
    assert words.lower() in error.message.lower()


@pytest.mark.parametrize(
    "name", [n for n in record() if n != "data"] + ["_thread_id", "_participants", "_tags", "_pii", "_nature"]
)
def test_null_is_invalid_for_every_field(name: str) -> None:
    assert name in errors_of(record() | {name: None})[0].pointer


@pytest.mark.parametrize("raw", [b"5", b"[]", b'"x"', b"null", b"true"])
def test_record_that_is_not_an_object_is_a_validation_error(raw: bytes) -> None:
    (error,) = errors_of(raw)
    assert (error.code, error.pointer) == ("VALIDATION_ERROR", "")


@pytest.mark.parametrize("raw", [b"{", b"nonsense", b"\xff{}", b"{} {}", b'{"a":NaN}', b""])
def test_record_that_does_not_parse_is_invalid_json(raw: bytes) -> None:
    (error,) = errors_of(raw)
    assert error.code == "INVALID_JSON"


def test_repeated_key_is_an_error_in_the_envelope_but_not_in_data() -> None:
    raw = json.dumps(record(data={"a": 1})).encode()
    assert errors_of(raw.replace(b'{"a": 1}', b'{"a": 1, "a": 2}')) == []
    (error,) = errors_of(raw[:-1] + b', "_product_id": "prod-abc"}')
    assert (error.pointer, "more than once" in error.message) == ("/_product_id", True)
    inner = (
        json.dumps(record(participants=[PARTICIPANT])).encode().replace(b'"id": "u1"', b'"id": "u1", "i\\u0064": "u2"')
    )
    assert [e.pointer for e in errors_of(inner)] == ["/_participants/0/id"]


def test_lone_surrogate_is_an_error_outside_of_data_and_nul_is_valid() -> None:
    raw = json.dumps(record(thread_id="T", vendor_ids={"k": "a\u0000b"})).encode()
    assert errors_of(raw) == []
    (error,) = errors_of(raw.replace(b'"T"', b'"\\udc00"'))
    assert (error.pointer, "surrogate" in error.message) == ("/_thread_id", True)
    (error,) = errors_of(raw.replace(b'"k"', b'"\\ud800"'))
    assert error.pointer.startswith("/_vendor_ids/")
    assert errors_of(raw.replace(b'{"text": "hello"}', b'{"\\ud800": "\\udfff"}')) == []


def test_record_has_at_most_a_hundred_errors_and_one_for_each_pointer() -> None:
    errors = errors_of(record(tags=[5] * 150))
    assert len(errors) == MAX_ERRORS == len({e.pointer for e in errors})


def test_names_that_look_the_same_when_shortened_are_separate_errors() -> None:
    long = "x" * 200
    assert len(errors_of(record() | {f"{long}a": 1, f"{long}b": 2})) == 2
    assert len(errors_of(record(vendor_ids={f"{long}a": 1, f"{long}b": 2}))) == 2
    raw = json.dumps(record()).encode().replace(b'"data"', b'"\\ud800": 1, "\\ud801": 1, "data"', 1)
    assert [error.pointer for error in errors_of(raw)] == ["/\ufffd", "/\ufffd"]
    (error,) = errors_of(record() | {"~/" * 100: 1})
    assert error.pointer == "/" + "~0~1" * 63 + "~0…"


def test_error_message_stays_within_its_maximum_length() -> None:
    for error in errors_of({"x" * 9000: 1}):
        assert len(error.message) <= 2048
        assert len(error.code) <= 64


scalars = st.sampled_from([None, True, 0, -1, 1.5, "", "x", "y" * 300, [], {}, ["a"], {"a": "b"}])


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from([*record(), "_thread_id", "_tags", "_pii", "_nature", "_project_id", "x"]), scalars)
)
def test_fast_and_slow_path_of_the_validator_agree(changes: dict[str, Any]) -> None:
    """An escaped key forces the slow path. It finds errors exactly in the records that the fast path rejects."""
    value = record() | changes
    fast = check_schema(json.dumps(value).encode())
    slow_text = json.dumps(value).encode().replace(b'"_schema_version"', b'"_schema\\u005fversion"', 1)
    slow = check_schema(slow_text)
    assert isinstance(fast, Envelope) == isinstance(slow, Envelope)
    if isinstance(fast, list) and isinstance(slow, list):
        assert {e.pointer for e in fast} == {e.pointer for e in slow}


@given(st.data())
def test_repeated_key_is_found_in_any_spelling(data: st.DataObject) -> None:
    fields = record(tags=["a"], pii={"sensitive_score": 0.5}, participants=[{"id": "x", "role": "internal"}])
    if data.draw(st.booleans()):
        del fields["_pii"]
    separators = data.draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :")]))
    text = json.dumps(fields, separators=separators, ensure_ascii=data.draw(st.booleans()))
    assert not isinstance(check_schema(text.encode()), list)
    name = data.draw(st.sampled_from(sorted(set(fields) - {"data"})))
    again = f"{json.dumps(name)}{separators[1]}{json.dumps(fields[name], separators=separators)}{separators[0]}"
    result = check_schema(f"{{{again}{text[1:]}".encode())
    assert isinstance(result, list)
    assert [(error.pointer, error.message) for error in result] == [(f"/{name}", f"{name}: is given more than once")]


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


INSTANT = "2026-01-31T12:00:00Z"
# Joined together, some of these would look valid: several instants in one text, and lengths that compensate each other.
TOGETHER = [
    compact(record()),
    compact(record(participants=[PARTICIPANT], attachments=[FILE])),
    json.dumps(record(tags=["a"])).encode(),
    compact(record(pii={"sensitive_score": 0.5})),
    compact(record(pii={"sensitive_score": 0.5})).replace(b"0.5", b"5E-1"),
    compact(record(pii={"sensitive_score": 0.5})).replace(b"0.5", b"0.50000"),
    compact(record(event_at=f"{INSTANT}\n{INSTANT}")),
    compact(record(event_at="")),
    compact(record(event_at=f"{INSTANT}\n")),
    compact(record(event_at="2026-02-30T12:00:00Z")),
    compact(record())[:-1] + b',"_type":"message"}',
    compact(record(nature="context"))[:-1] + b',"_nature":"context"}',
    compact(record(project_ids=None)),
    compact(record(data=[])),
    b"nonsense",
]


@given(st.lists(st.sampled_from(TOGETHER), max_size=6))
def test_records_validated_as_a_group_get_the_same_result_as_one_by_one(raws: list[bytes]) -> None:
    together = decode_quickly(raws)
    assert [envelope is not None for envelope in together] == [decode_quickly([raw])[0] is not None for raw in raws]
    for raw, envelope in zip(raws, together, strict=True):
        assert envelope is None or envelope == check_schema(raw)
        assert envelope is None or not errors_of(raw)


def test_fast_path_proves_the_valid_records_of_a_group() -> None:
    """Otherwise the test above would pass with a decoder that proves nothing."""
    assert [envelope is not None for envelope in decode_quickly(TOGETHER)] == [True] * 6 + [False] * 9
    assert None not in decode_quickly(TOGETHER[:2] * 3)


@pytest.mark.parametrize("bad", [{0}, {GROUP_RECORDS - 1}, {GROUP_RECORDS}, {3, 2 * GROUP_RECORDS + 1}])
def test_records_of_several_groups_keep_their_order(bad: set[int]) -> None:
    raws = [b"nonsense" if n in bad else compact(record(thread_id=f"t{n}")) for n in range(2 * GROUP_RECORDS + 2)]
    found = [envelope and envelope.thread_id for envelope in decode_quickly(raws)]
    assert found == [None if n in bad else f"t{n}" for n in range(len(raws))]


def test_empty_project_id_is_an_unknown_project() -> None:
    known = Catalog(frozenset({"prod-abc"}), frozenset({"proj-123"}))
    verdict = examine([compact(record(project_ids=None, project_id=""))], lambda products, projects: known)
    assert [record.errors[0].code for record in verdict.rejected] == ["UNKNOWN_PROJECT"]


@pytest.mark.parametrize("size", [b"5.0", b"5e0", b"50e-1", b"0.5E+1", b"5.000"])
def test_integer_written_as_a_fraction_is_accepted_as_its_value(size: bytes) -> None:
    raw = compact(record(attachments=[FILE | {"size": 7777}, FILE | {"size": 6}], data={"size": 7777}))
    envelope = check_schema(raw.replace(b"7777", size))
    assert isinstance(envelope, Envelope)
    assert [one.size for one in envelope.attachment_list] == [5, 6]
    assert bytes(envelope.data) == b'{"size":%b}' % size


def test_repeated_key_and_lone_surrogate_are_found_beside_a_deep_value() -> None:
    deep = b"[" * 5000 + b"]" * 5000
    raw = compact(record(thread_id="T", data={"x": 1})).replace(b'{"x":1}', deep)
    assert {e.pointer for e in errors_of(raw)} == {"/data"}
    raw = compact(record(thread_id="T", data={"x": 1})).replace(b'{"x":1}', b'{"x":%b}' % deep)
    assert errors_of(raw) == []
    assert [e.pointer for e in errors_of(raw.replace(b'"T"', b'"\\udc00"'))] == ["/_thread_id"]
    assert [e.pointer for e in errors_of(raw[:-1] + b',"_type":"call"}')] == ["/_type"]
    assert [e.pointer for e in errors_of(raw[:-1] + b',"_participants":%b}' % deep)] == ["/_participants/0"]


def test_error_in_one_of_many_entries_is_found() -> None:
    entities: list[Any] = [{"type": "x", "confidence": 1}] * 2500
    assert errors_of(record(pii={"detected_entities": entities, "more": 1}))[0].pointer == "/_pii/more"
    entities[2400] = {"type": "x", "confidence": 2}
    assert [e.pointer for e in errors_of(record(pii={"detected_entities": entities}))] == [
        "/_pii/detected_entities/2400/confidence"
    ]
    raw = compact(record(pii={"detected_entities": [*entities[:2000], {"type": "last"}]}))
    raw = raw.replace(b'"type":"last"', b'"type":"last","t\\u0079pe":"again"')
    assert [e.pointer for e in errors_of(raw)] == ["/_pii/detected_entities/2000/type"]
    projects: list[Any] = ["p"] * 2500
    projects[2400] = "p" * 129
    assert [e.pointer for e in errors_of(record(project_ids=projects))] == ["/_project_ids/2400"]
    vendors = {str(n): "v" for n in range(1000)}
    raw = compact(record(vendor_ids=vendors | {"last": "v"}, nature="no"))
    assert [e.pointer for e in errors_of(raw)] == ["/_nature"]
    assert {e.pointer for e in errors_of(raw.replace(b'"last"', b'"5"'))} == {"/_nature", "/_vendor_ids/5"}
