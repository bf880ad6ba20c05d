"""A tree keeps the details that Python's json loses."""

from typing import Any

import pytest

from lake import json_tree


@pytest.mark.parametrize(
    "text", ['{"a":1,"a":2.50,"b":[{},[],"",null,true,false,1E5]}', '{"\\ud800":"\\ud800"}', "123", '"1"'],
)  # fmt: skip
def test_tree_keeps_repeated_keys_and_the_spelling_of_numbers(text: str) -> None:
    expected: dict[str, Any] = {
        '{"a"': (("a", "1"), ("a", "2.50"), ("b", [(), [], "", None, True, False, "1E5"])),
        '{"\\u': (("\ud800", "\ud800"),),
        "123": "123",
        '"1"': "1",
    }
    found = json_tree.tree(text.encode())
    assert found == expected[text[:4]]
    assert json_tree.opening(found) == text[:1].encode()


@pytest.mark.parametrize("text", [b'{"a":1.50,"a":[true,null,"\\n\xc3\xa9",{}]}', b"-0", b'"\\""'])
def test_tree_is_written_exactly_as_it_was_read(text: bytes) -> None:
    assert json_tree.text(json_tree.tree(text)) == text
