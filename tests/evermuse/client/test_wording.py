"""Messages name one thing in the singular, and any other number in the plural."""

import pytest

from evermuse.client.wording import counted


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [
        (0, "record", "0 records"), (1, "record", "1 record"), (2, "file", "2 files"), (1, "batch", "1 batch"),
        (0, "batch", "0 batches"), (12_345, "batch", "12,345 batches"), (1, "removal", "1 removal"),
    ],
)  # fmt: skip
def test_count_agrees_with_its_noun(number: int, noun: str, words: str) -> None:
    assert counted(number, noun) == words
