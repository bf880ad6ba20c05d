"""The fast JSON scanner agrees with a simple scanner that goes token by token."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lake import deep_containers, json_syntax, walk_nodes
from lake.json_syntax import JsonSyntaxError
from lake.json_text import JsonText
from tests.lake import plain_scanner

PIECES = st.sampled_from(
    [b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b'"a"', b'"a":', b'"\\ud800"', b'"\\\\ud8"', b"\\uD", b"1", b"0", b"-1.5E+2",
     b"true", b"null", b"tru", b" ", b"\n", b"\t", b"\r", b"[]", b"{}", b"[1,2]", b'{"k":[{}]}', b",,", b"]}", b"[[", b'"]"', b'"\xc3\xa9"', b"\x01"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)


@st.composite
def nearly_json(draw: st.DrawFn) -> bytes:
    """JSON, possibly deep, with a few bytes removed, inserted or replaced."""
    text = json.dumps(draw(VALUES), indent=draw(st.sampled_from([None, 1])), ensure_ascii=draw(st.booleans())).encode(
        errors="replace"
    )
    for _ in range(draw(st.integers(0, 3))):
        times = draw(st.sampled_from([1, 1, 2, 40]))
        before, after = draw(
            st.sampled_from([(b"[", b"]"), (b'{"a":', b"}"), (b'[0,{"":', b',"b":[]} ]'), (b"[[1],", b"]")])
        )
        text = before * times + text + after * times
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        until = draw(st.integers(at, min(len(text), at + 4)))
        text = text[:at] + draw(PIECES) + text[until:]
    return text.strip(b" \t\r\n")


TEXTS = st.lists(PIECES, max_size=12).map(lambda pieces: b"".join(pieces).strip(b" \t\r\n")) | nearly_json()


def verdict(check: Any, text: bytes) -> tuple[int, str] | None:
    """Returns where and why a text is rejected, or None."""
    try:
        check(text)
    except JsonSyntaxError as error:
        return error.offset, error.reason
    except plain_scanner.JsonSyntaxError as error:
        return error.offset, error.reason
    return None


def plainly(text: bytes) -> None:
    end = plain_scanner.skip_value(text, 0)
    if end != len(text):
        raise JsonSyntaxError(end, "something follows the value")


@given(TEXTS)
@example(b'"a" ,,')
@settings(max_examples=1500, deadline=None)
def test_fast_scanner_agrees_with_the_simple_one_on_any_text(text: bytes) -> None:
    try:
        text.decode()
    except UnicodeDecodeError:
        return
    expected = verdict(plainly, text)
    assert verdict(json_syntax.check, text) == expected
    assert verdict(json_syntax._check_in_pieces, text) == expected


@given(nearly_json(), st.sampled_from(["", "deep"]))
@settings(max_examples=750, deadline=None)
def test_fast_scanner_finds_the_same_end_of_a_value_as_the_simple_one(text: bytes, way: str) -> None:
    if verdict(plainly, text) is not None:
        return
    whole = b"[ [ " + text + b" ,1 ] ]"
    native = JsonText(whole)
    assert native.skip(4) == 4 + len(text)
    if text[:1] in (b"[", b"{"):
        assert deep_containers.end_of(deep_containers.without_escapes(whole), 4) == 4 + len(text)
        if text[:1] == b"{":
            assert list(native.members(4)) == plain_scanner.members(whole, 4)
        else:
            assert list(native.elements(4)) == plain_scanner.elements(whole, 4)


DEEP = [
    b"[" * 30_000 + b"0" + b"]" * 30_000,
    b'[{"a":' * 20_000 + b"[]" + b"}]" * 20_000,
    b'[0,{"a":1,"b":' * 10_000 + b"{}" + b',"c":"]"},1]' * 10_000,
    b"[" * 9_000 + b"[0]," * 30_000 + b"0" + b"]" * 9_000,
    b"[ " * 9_000 + b"0" + b"\n]" * 9_000,
]


@pytest.mark.parametrize("has_yyjson", [True, False])
@pytest.mark.parametrize("text", DEEP)
def test_deep_json_is_accepted_and_its_errors_are_located(
    text: bytes, has_yyjson: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_yyjson:
        # As in an installation of the client alone.
        monkeypatch.setattr(json_syntax, "yyjson", None)
    assert verdict(json_syntax.check, text) is None
    assert JsonText(b"[" + text + b",5]").skip(1) == 1 + len(text)
    middle = len(text) // 2
    for broken in (text[:-1], text + b"]", text[:-1] + b"}", text[:-2] + b"," + text[-2:], text[:middle] + b"?" + text[middle:],
                   text.replace(b"]", b"}", 1), text[:200] + b"}" + text[200:]):  # fmt: skip
        assert verdict(json_syntax.check, broken) == verdict(plainly, broken)


def test_deep_json_is_not_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_syntax, "_check_in_pieces", lambda *_: pytest.fail("the slow reading was used"))

    for text in DEEP:
        json_syntax.check(text)


@pytest.mark.parametrize("end", [b"x]", b"1", b"01]", b'"a,\\",b]', b'{"a":[1,{"b":}]'])
def test_search_for_an_error_starts_near_it(monkeypatch: pytest.MonkeyPatch, end: bytes) -> None:
    starts: list[int] = []
    search = json_syntax._check_in_pieces

    def noted(text: bytes, at: int = 0, open_containers: bytes = b"") -> None:
        starts.append(at)
        search(text, at, open_containers)

    monkeypatch.setattr(json_syntax, "_check_in_pieces", noted)
    text = b"[" + b'{"a":[1,"x,y"]},' * 1000 + end

    assert verdict(json_syntax.check, text) == verdict(plainly, text)
    assert starts[0] > len(text) - 40


@pytest.mark.parametrize("text", [b'"a" ,,', b"[1] ,1", b"[1][,", b'{"a":1} {"b":1,,', b"1,", b",", b"[,"])
def test_commas_after_the_value_are_not_part_of_it(text: bytes) -> None:
    assert verdict(json_syntax.check, text) == verdict(plainly, text)


def test_values_too_deep_for_an_envelope_are_not_built_as_trees() -> None:
    deep = b'{"a":' * 20 + b"1" + b"}" * 20

    node = walk_nodes.node_of(JsonText(deep), 0, len(deep))

    assert isinstance(node, walk_nodes.ValueSpan)


@pytest.mark.parametrize("levels", [3, 300, 5000])
@pytest.mark.parametrize(
    ("opening", "closing"),
    [(b'[{"b":', b"}]"), (b'[ {"b]]": ', b'}, "}" ]'), (b'{"[[":"a", "b":', b"}"), (b'[["]"], ', b"]")],
)
def test_end_of_a_container_is_found_among_brackets_in_strings(levels: int, opening: bytes, closing: bytes) -> None:
    value = opening * levels + b'"}"' + closing * levels
    text = b'{"a":' + value + b',"b":[{"]":1}]}'
    assert deep_containers.end_of(text, 5) == 5 + len(value)
