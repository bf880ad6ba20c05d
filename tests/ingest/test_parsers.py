"""The parsers report where each record of a body begins."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import parsers
from tests.http_client import JSON, NDJSON

ANYTHING = st.recursive(
    st.none() | st.integers() | st.text() | st.just("records"),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
)
SHAPES = [
    (JSON, b"[", b" ,\n ", b"]"),
    (JSON, b" \r\n[ ", b",", b" ]\t"),
    (JSON, b'{"records":[ ', b",", b" ]}"),
    (JSON, b'\xef\xbb\xbf { "records" :[', b" , ", b"] } "),
    (JSON, b'{"\\u0072ecords": [', b",", b"]}"),
    (NDJSON, b"\xef\xbb\xbf", b"\n\r\n", b""),
    (NDJSON, b" \n\t", b" \r\n", b"\n\n"),
]


@pytest.mark.parametrize(("media_type", "opening", "separator", "end"), SHAPES)
@given(values=st.lists(ANYTHING, min_size=1, max_size=8))
def test_offset_of_each_record_is_where_it_begins_in_the_body(
    media_type: str, opening: bytes, separator: bytes, end: bytes, values: list[object]
) -> None:
    raws = [json.dumps(value).encode() for value in values]
    split = parsers.split(opening + separator.join(raws) + end, media_type)
    expected = [len(opening) + sum(map(len, raws[:n])) + n * len(separator) for n in range(len(raws))]
    assert (split.raws, list(split.offsets())) == (raws, expected)


def test_line_that_begins_with_a_comma_is_kept_whole() -> None:
    split = parsers.split(b'{"a":1}\n,"b"\n', NDJSON)
    assert (split.raws, list(split.offsets()), split.are_json) == ([b'{"a":1}', b',"b"'], [0, 8], False)


@pytest.mark.parametrize("depth", [1, 3000])
@pytest.mark.parametrize("size", [10, 100_000])
def test_offsets_are_correct_in_deep_and_long_arrays(depth: int, size: int) -> None:
    raws = [b"[" * depth + b"]" * depth, b'"%s"' % (b"x" * size), b'{"a":"\\ud800"}']
    split = parsers.split(b"[" + b", ".join(raws) + b"]", JSON)
    assert split.raws == raws
    assert [split.content[at : at + len(raw)] for at, raw in zip(split.offsets(), raws, strict=True)] == raws


def test_single_record_begins_after_leading_white_space() -> None:
    split = parsers.split(b' \n{"a": [1, 2]} ', JSON)
    assert (split.raws, list(split.offsets()), split.are_json) == ([b'{"a": [1, 2]}'], [2], True)


@pytest.mark.parametrize("key", [b"records", b"r\\u0065cords"])
def test_key_of_the_records_is_found_in_any_spelling_beside_lone_surrogates(key: bytes) -> None:
    raw = b'{"a":"\\ud800"}'
    assert parsers.split(b'{"%b":[%b]}' % (key, raw), JSON).raws == [raw]
    one = b'{"a":"\\ud800","b":"records","c":{"%b":[]}}' % key
    assert parsers.split(one, JSON).raws == [one]


def test_records_with_lone_surrogates_are_not_searched_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(text: bytes) -> tuple[list[bytes], int]:
        raise AssertionError(text)

    monkeypatch.setattr(parsers, "_patiently", refuse)
    records = [b'{"a":"\\ud800,{","b" : [1, "]"]}', b'"\\uDFFF\\ud83d\\ude00"', b"5.0", b'{ "c":\r\n{"\\\\ud":1}}']
    body = b" [ " + b" ,\n".join(records) + b"\t]\n"
    found = parsers.split(body, JSON)
    assert found.raws == records
    assert [body[at : at + len(raw)] for at, raw in zip(found.offsets(), records, strict=True)] == records
