"""Reading finds the same records wherever the blocks of a file end."""

import gzip
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evermuse.client.send import reading
from evermuse.client.send.checking import Candidate, check, unwrapped
from evermuse.client.send.opening import OpenSource, SourceError
from tests.records import record

# Other tests run at the same time, so a slow example says nothing.
UNHURRIED = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.lists(st.dictionaries(st.text().filter(lambda name: name != "records"), VALUES), min_size=1, max_size=6)


def read(text: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    blocks = [text[start:end] for start, end in pairwise(places) if end > start]
    return [raw for chunk in reading.records(blocks) for raw in chunk]


def forms(objects: list[Any]) -> dict[str, str]:
    return {
        "lines": "\n".join(json.dumps(one) for one in objects) + "\n",
        "crlf": "\r\n\r\n".join(json.dumps(one, ensure_ascii=False) for one in objects),
        "array": json.dumps(objects),
        "pretty array": json.dumps(objects, indent=2, ensure_ascii=False),
        "records": json.dumps({"records": objects}, indent=1),
        "bom": "\ufeff" + json.dumps(objects),
    }


@UNHURRIED
@given(OBJECTS, st.lists(st.integers(0, 5000), max_size=8), st.sampled_from(sorted(forms([]))))
def test_every_form_gives_its_records_at_any_split(objects: list[Any], cuts: list[int], form: str) -> None:
    text = forms(objects)[form].encode("utf-8", "surrogatepass")
    assert [json.loads(raw) for raw in read(text, cuts)] == objects


@UNHURRIED
@given(OBJECTS)
def test_values_over_several_lines_follow_one_another(objects: list[Any]) -> None:
    text = "\n".join(json.dumps({"a": one}, indent=3) for one in objects)
    assert [json.loads(raw)["a"] for raw in read(text.encode(), [])] == objects


@UNHURRIED
@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=4))
def test_any_bytes_end_in_records_that_the_validator_judges(text: bytes, cuts: list[int]) -> None:
    for raw in read(text, cuts):
        assert len(check([raw], 0, 0)) == 1


def test_bytes_of_records_stay_as_they_were_written() -> None:
    raws = [b'{"a" : 1.0}', b'{"b":[1e400, "\\ud800"]}']
    assert read(b"\n".join(raws), [3]) == raws
    assert read(b"[" + b" , ".join(raws) + b"]", [5, 9]) == raws


@pytest.mark.parametrize("payload", [b'{"_type":"x"}', b'{"deep":' + b"[" * 2000 + b"]" * 2000 + b"}"])
def test_line_of_rejects_gives_its_payload(payload: bytes) -> None:
    assert unwrapped(b'{"index":3,"errors":[],"payload":%b}' % payload) == payload


def test_line_that_was_no_json_is_taken_from_the_payloads_text() -> None:
    assert unwrapped(b'{"errors":[],"payload":"{\\"a\\": 1}"}') == b'{"a": 1}'


def test_record_whose_data_holds_payload_and_errors_is_a_record() -> None:
    raw = json.dumps(record(data={"payload": 1, "errors": []})).encode()
    (found,) = check([raw], 0, 0)
    assert isinstance(found, Candidate) and found.raw == raw


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_compressed_file_that_is_cut_off_is_an_error(compress: Any, tmp_path: Path) -> None:
    packed = compress(b'{"a":1}\n' * 100) + compress(b'{"b":2}\n')
    path = tmp_path / "packed"
    path.write_bytes(packed)
    assert b"".join(OpenSource(path).blocks()) == b'{"a":1}\n' * 100 + b'{"b":2}\n'
    path.write_bytes(packed[:-3])
    with pytest.raises(SourceError):
        b"".join(OpenSource(path).blocks())


def test_endless_line_is_read_in_bounded_memory() -> None:
    blocks = [b"x" * reading.MAX_VALUE_BYTES] * 5 + [b'\n{"a":1}\n']
    first, second = (raw for chunk in reading.records(blocks) for raw in chunk)
    assert len(first) <= 2 * reading.MAX_VALUE_BYTES and second == b'{"a":1}'
