"""Stored records are read as they were stored, whatever today's rules say about them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.envelope import Envelope
from lake.envelope_errors import check_schema
from lake.normalization import NormalizedRecord, normalize
from lake.reading import stored
from tests.records import record

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
DATA = st.dictionaries(
    st.text(max_size=4), st.none() | st.text(max_size=4) | st.lists(st.integers(), max_size=3), max_size=3
)
PARTICIPANTS = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["internal", "unknown"]), "id": TEXTS},
        optional={"name": TEXTS, "email": st.just("अ@b.example"), "type": st.just("bot")},
    ),
    max_size=3,
)
ATTACHMENTS = st.lists(
    st.fixed_dictionaries(
        {"type": st.just("file")},
        optional={
            "size": st.integers(0, 10**25) | st.integers(0, 2**50).map(float) | st.just(-0.0),
            "md5": TEXTS,
            "vendor_url": st.just("https://x.example/ü"),
        },
    ),
    max_size=3,
)
PII = st.fixed_dictionaries(
    {},
    optional={
        "sensitive_score": st.floats(0, 1) | st.sampled_from([0, 1]),
        "contains_email": st.booleans(),
        "detected_entities": st.lists(
            st.fixed_dictionaries({"confidence": st.floats(0, 1), "type": TEXTS}), max_size=2
        ),
    },
)
CHANGES = st.fixed_dictionaries(
    {"data": DATA, "vendor_ids": st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=3)},
    optional={
        "type": st.sampled_from(["CALL", "message", "Email_Thread"]),
        "event_at": st.just("2026-01-31T12:00:00.999Z"),
        "project_id": TEXTS,
        "project_ids": st.lists(TEXTS, min_size=1, max_size=3),
        "nature": st.just("context"),
        "thread_id": TEXTS,
        "participants": PARTICIPANTS,
        "attachments": ATTACHMENTS,
        "tags": st.lists(TEXTS, max_size=3),
        "pii": PII,
    },
)


@st.composite
def valid_records(draw: st.DrawFn) -> bytes:
    """A valid record with its keys in any order and in any spelling."""
    changes: dict[str, Any] = draw(CHANGES)
    fields = list(record(**{**changes, "data": {"@@@": 0, **changes["data"]}}).items())
    shuffled = dict(draw(st.permutations(fields)))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")]))
    text = json.dumps(shuffled, separators=separators, ensure_ascii=draw(st.booleans()))
    return text.encode("utf-8", "replace").replace(b'"data"', draw(st.sampled_from([b'"data"', b'"d\\u0061ta"'])), 1)


def sizes(found: NormalizedRecord) -> list[Any]:
    """The declared sizes of a record's attachments."""
    return [one.size for one in found.envelope.attachment_list]


@given(valid_records(), st.sampled_from([b"", b"lone", b"deep", b"repeated"]))
@settings(max_examples=600, deadline=None)
def test_stored_record_is_read_as_normalization_writes_it(raw: bytes, more: bytes) -> None:
    addition = {b"": b"", b"lone": b'"\\ud800":0,', b"deep": b'"x":%b,' % (b"[" * 3000 + b"1" + b"]" * 3000),
                b"repeated": b'"a":1,"a":1.0,'}[more]  # fmt: skip
    raw = raw.replace(b'"@@@"', addition + b'"@@@"', 1)
    envelope = check_schema(raw)
    assert isinstance(envelope, Envelope)
    expected, found = normalize(envelope), stored(raw)
    assert (found.document, found.head, found.data, found.line) == (
        expected.document, expected.head, expected.data, expected.line,
    )  # fmt: skip
    assert isinstance(found, NormalizedRecord)
    assert sizes(found) == sizes(expected), "processors and filters get numbers"


REFUSED: list[dict[str, Any]] = [
    {"product_id": "p" * 500},
    {"type": "Retired_Type"},
    {"nature": "other"},
    {"schema_version": "0.9.0"},
    {"event_at": "2026-02-31T12:00:00.5Z"},
    {"participants": [{"id": "x", "role": "gone", "email": "no address"}]},
    {"attachments": [{"type": "hologram", "vendor_url": "no uri", "size": -5}] * 20},
    {"vendor_ids": {}},
    {"project_ids": None},
]


@pytest.mark.parametrize("changes", REFUSED)
def test_stored_record_that_breaks_todays_rules_is_still_read(changes: dict[str, Any]) -> None:
    sent = record(**{"data": {"n": 1}, **changes})
    raw = json.dumps(sent).encode()
    assert isinstance(check_schema(raw), list)
    found = json.loads(stored(raw).document)
    assert stored(raw).data == b'{"n": 1}'
    expected = sent | {"_nature": sent.get("_nature", "evidence"), "_type": sent["_type"].lower()}
    expected["_event_at"] = sent["_event_at"][:19] + "Z"
    assert {**expected, "_project_ids": 0} == {**found, "_project_ids": 0}


STRANGE = [
    b'{"_type":"CALL","_event_at":"2026-01-31T12:00:00.5Z","_retired":{"a":1},"_project_id":"p","data":{"x":1e400}}',
    b'{"_type":5,"_event_at":null,"_project_ids":7,"data":[1]}',
    b'{"_type":"\\ud800","_vendor_ids":{"\\udfff":1},"\\ud801":2,"data":{}}',
    b'{"data":{}}',
    b'{"_type":"call"}',
    b"{}",
    b"[1]",
    b'"text"',
    b"no JSON \xff",
    b"",
    b'{"data":' + b"[" * 5000 + b"]" * 5000 + b"}",
]


@pytest.mark.parametrize("raw", STRANGE)
def test_any_stored_bytes_are_read_without_an_error(raw: bytes) -> None:
    found = stored(raw)
    for text in (found.document, found.head, found.line):
        if b"[[[" not in text:
            json.loads(text)


def test_field_that_the_envelope_no_longer_has_keeps_its_value() -> None:
    assert stored(STRANGE[0]).document == (
        b'{"_type":"call","_event_at":"2026-01-31T12:00:00Z","_nature":"evidence","_project_ids":["p"],'
        b'"_retired":{"a":1},"data":{"x":1e400}}'
    )
