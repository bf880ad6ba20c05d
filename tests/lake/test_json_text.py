"""The strict scanner agrees with Python's json module."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake import json_syntax, json_text
from lake.json_syntax import JsonSyntaxError
from lake.json_text import JsonText

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def strict(text: bytes) -> Any:
    """Python's json, without the constants that JSON does not have."""

    def refuse(word: str) -> None:
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


def is_whole(text: bytes) -> bool:
    """Whether the scanner accepts a text from beginning to end."""
    try:
        json_syntax.check(text)
    except JsonSyntaxError:
        return False
    return JsonText(text).skip(0) == len(text)


@given(values, st.sampled_from([None, 1]), st.booleans())
def test_scanner_accepts_every_json_text_to_its_end(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    assert is_whole(text)


@given(values, st.data())
def test_scanner_agrees_with_pythons_json_on_mutated_texts(value: Any, data: Any) -> None:
    text = bytearray(json.dumps(value).encode())
    at = data.draw(st.integers(0, len(text) - 1))
    text[at : at + data.draw(st.integers(0, 2))] = data.draw(
        st.sampled_from([b",", b"}", b"]", b'"', b"0", b"e", b" ", b"-"])
    )
    mutated = bytes(text).strip(b" ")
    try:
        strict(mutated)
        is_json = True
    except ValueError:
        is_json = False
    assert is_whole(mutated) == is_json


@given(st.dictionaries(st.text(), values, max_size=5))
def test_members_return_the_slice_of_each_value(value: dict[str, Any]) -> None:
    text = json.dumps(value, indent=2).encode()
    found = {json_text.decode_string(key): json.loads(text[a:b]) for key, a, b in JsonText(text).members(0)}
    assert found == value


@given(st.lists(values, max_size=5))
def test_elements_return_the_slice_of_each_value(value: list[Any]) -> None:
    text = json.dumps(value, indent=2).encode()
    assert [json.loads(text[a:b]) for a, b in JsonText(text).elements(0)] == value


@pytest.mark.parametrize("depth", [10, 100_000])
def test_deep_nesting_needs_no_recursion(depth: int) -> None:
    text = b'{"a":[' * depth + b"]}" * depth
    assert is_whole(text)
    assert not is_whole(text[:-1])


@pytest.mark.parametrize(
    "text", [b"NaN", b"Infinity", b"01", b"1.", b".5", b"+1", b"'a'", b'"\n"', b'"\\x"', b"[1,]", b'{"a":1,}', b""]
)
def test_invalid_json_is_rejected(text: bytes) -> None:
    assert not is_whole(text)


def test_one_line_replaces_only_the_line_breaks_between_tokens() -> None:
    assert json_text.one_line(b'{\r\n"a": "\\n\\r"\n}') == b'{  "a": "\\n\\r" }'


@given(st.integers(-(10**12), 10**12), st.integers(0, 8), st.integers(-8, 8))
def test_integer_is_read_in_any_spelling(whole: int, zeros: int, power: int) -> None:
    mantissa = f"{whole}.{'0' * zeros}" if zeros else f"{whole}"
    text = f"{mantissa}e{power}"
    value = Decimal(text)
    expected = b"%d" % int(value) if value == value.to_integral_value() else None
    assert json_text.integer(text.encode(), 100) == expected
    assert json_text.integer(f"{mantissa}E{power:+}".encode(), 100) == expected


@pytest.mark.parametrize("text", [b"1e100", b"1" * 101, b"1e999999999999999999999", b"-1.5E+100"])
def test_integer_with_too_many_digits_is_rejected(text: bytes) -> None:
    with pytest.raises(OverflowError):
        json_text.integer(text, 100)


def test_zero_and_fractions_may_have_any_exponent() -> None:
    assert json_text.integer(b"-0.000e999999999999999999999", 100) == b"0"
    assert json_text.integer(b"1e-999999999999999999999", 100) is None
