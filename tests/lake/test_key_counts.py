"""Counts of keys in JSON texts."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lake.key_counts import key_count, written_key_count

# Strings that look like the syntax around a key.
_texts = st.text(alphabet='":{}[],\\ a\n', max_size=4)
_values = st.recursive(
    st.none() | st.integers() | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)


def _keys(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_keys, value.values()))
    return sum(map(_keys, value)) if isinstance(value, list) else 0


@given(_values.map(lambda value: [value]), st.sampled_from([(",", ":"), (" , ", " : "), (",\n", "\t:")]))
def test_keys_are_counted_whatever_strings_contain(value: list[Any], separators: tuple[str, str]) -> None:
    assert key_count(json.dumps(value, separators=separators).encode()) == _keys(value)
    assert written_key_count(json.dumps(value, separators=(",", ":")).encode()) == _keys(value)


def test_repeated_keys_are_counted_each_time() -> None:
    assert key_count(b'[{"a": 1, "a": {"a" : 2}}]') == 3
