"""Fuzzing: the parsers accept or reject any bytes, and never raise anything else."""

import gzip
import itertools
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import parsers
from ingest.admission import bodies
from ingest.refusals import Refusal
from lake import envelope_errors, json_syntax, json_text
from lake.envelope import Envelope
from lake.frames import Place
from lake.landing import prepare
from tests.records import record

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
VALID = record(vendor_ids={"id": "fuzz"})
FIELDS = st.sampled_from([*VALID, "_tags", "_pii", "_participants", "_attachments", "_nature", "_thread_id", "data"])
SNIPPETS = st.sampled_from(
    [b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u0000", b"\\ud800", b"1e999", b"-", b"\n", b"\r", b"\xff",
     b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"null", b'"records"', b'"_type"', b'"data"', b"\0"]
)  # fmt: skip


@st.composite
def nearly_json(draw: st.DrawFn) -> bytes:
    """A valid record with a few bytes removed, inserted or replaced."""
    content = json.dumps(VALID | draw(st.dictionaries(FIELDS, JSON, max_size=3))).encode()
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        until = draw(st.integers(at, min(len(content), at + 10)))
        content = content[:at] + draw(SNIPPETS | st.binary(max_size=5)) + content[until:]
    return content


ANY = st.binary(max_size=300) | nearly_json() | st.lists(SNIPPETS, max_size=40).map(b"".join)


@given(ANY, st.sampled_from(["application/json", "application/x-ndjson"]))
@settings(max_examples=600, deadline=None)
def test_any_body_is_split_or_rejected(content: bytes, media_type: str) -> None:
    try:
        split = parsers.split(content, media_type)
    except Refusal as refusal:
        assert refusal.status == 400
        json.dumps(refusal.body())
        return
    assert 1 <= len(split.raws) <= 1000
    places = [(place.offset, place.size) for place in split.places(1)]
    assert [content[at : at + size] for at, size in places] == split.raws
    assert all(a + size <= b for (a, size), (b, _) in itertools.pairwise(places))


@given(ANY)
@settings(max_examples=800, deadline=None)
def test_any_record_is_valid_or_has_errors_that_can_be_sent(raw: bytes) -> None:
    result = envelope_errors.check_schema(raw)
    if isinstance(result, Envelope):
        (landed,) = prepare([(0, result)], 1, [Place(1, 0, len(raw))])
        assert bytes(landed.normalized.data) in raw
        return
    assert 1 <= len(result) <= 100
    assert len({error.pointer for error in result}) == len(result)
    for error in result:
        json.dumps([error.code, error.pointer, error.message]).encode()
        assert len(error.message) <= 2048


@given(ANY)
@settings(max_examples=500, deadline=None)
def test_any_text_is_json_or_has_an_offset_where_it_stops_being_json(text: bytes) -> None:
    text = text.strip(b" \t\r\n")
    try:
        json_syntax.check(text)
    except json_syntax.JsonSyntaxError as error:
        assert 0 <= error.offset <= len(text)
    else:
        assert json_text.JsonText(text).skip(0) == len(text)


@given(st.binary(max_size=200), st.data())
@settings(max_examples=300, deadline=None)
def test_any_gzip_is_decompressed_or_rejected(content: bytes, data: st.DataObject) -> None:
    packed = gzip.compress(content)
    assert bodies.gunzip(packed) == content
    assert bodies.gunzip(packed + packed) == content * 2
    at = data.draw(st.integers(0, len(packed)))
    try:
        bodies.gunzip(packed[:at] + data.draw(st.binary(max_size=5)) + packed[at + 1 :])
    except Refusal as refusal:
        assert refusal.status in {400, 413}
