"""A stream is split into lines, one by one or many at once, wherever its parts end."""

import asyncio
from collections.abc import AsyncIterator

from hypothesis import given
from hypothesis import strategies as st

from evermuse.client.lines import split, whole, whole_async

PARTS = st.lists(
    st.sampled_from([b"a", b"\n", b"bc\nd", b" \n", b"\n\n", b"e\n", b"", b"\r\n", b"f\ng\nh"]), max_size=12
)


@given(PARTS)
def test_blocks_of_whole_lines_hold_the_lines_that_are_not_blank(parts: list[bytes]) -> None:
    blocks = list(whole(parts))
    assert all(block.endswith(b"\n") for block in blocks)
    assert b"".join(blocks) == b"".join(line + b"\n" for line in split(parts))


def test_block_is_passed_on_as_soon_as_its_last_line_is_complete() -> None:
    assert list(whole([b'{"a":1}\n{"b"', b":2}\n", b'{"c":3}'])) == [b'{"a":1}\n', b'{"b":2}\n', b'{"c":3}\n']


@given(PARTS)
def test_blocks_of_an_asynchronous_stream_are_the_same(parts: list[bytes]) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    async def blocks() -> list[bytes]:
        return [block async for block in whole_async(stream())]

    assert asyncio.run(blocks()) == list(whole(parts))
