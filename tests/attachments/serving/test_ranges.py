"""Which bytes a Range header selects."""

import pytest

from attachments.serving.ranges import Unsatisfiable, wanted


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-0", (0, 0)), ("bytes=0-9", (0, 9)), ("bytes=0-99", (0, 9)), ("bytes=3-5", (3, 5)), ("bytes=9-", (9, 9)),
        ("bytes=-1", (9, 9)), ("bytes=-10", (0, 9)), ("bytes=-99", (0, 9)), (" Bytes=1-2 ", (1, 2)), ("bytes=00-01", (0, 1)),
    ],
)  # fmt: skip
def test_single_range_is_limited_to_the_size_of_the_file(header: str, part: tuple[int, int]) -> None:
    assert wanted(header, 10) == part


@pytest.mark.parametrize(
    "header",
    [
        "", "bytes", "bytes=", "bytes=-", "bytes=5-3", "bytes=a-b", "bytes=0-1,3-4", "items=0-1", "bytes=0 - 1", "bytes=+1-2",
        "bytes=٣-٤", "bytes=0-" + "9" * 5000,
    ],
)  # fmt: skip
def test_header_that_is_not_a_single_range_selects_the_whole_file(header: str) -> None:
    assert wanted(header, 10) is None


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=10-", 10), ("bytes=99-100", 10), ("bytes=-0", 10), ("bytes=0-", 0)]
)
def test_range_beyond_the_end_is_unsatisfiable(header: str, size: int) -> None:
    with pytest.raises(Unsatisfiable):
        wanted(header, size)
