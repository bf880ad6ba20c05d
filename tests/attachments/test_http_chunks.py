"""The chunked coding: property tests against a simple encoder, with the bytes split at any positions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachments.download_failures import DownloadFailed
from attachments.fetch.http_chunks import Chunks

extensions = st.sampled_from([b"", b" ", b";a", b'; a="b"', b"\t;x=1;y"])


def wire(parts: list[bytes], extension: bytes, newline: bytes, trailers: list[bytes]) -> bytes:
    """Encodes a body as a server would."""
    chunks = [b"%X" % len(part) + extension + newline + part + newline for part in parts if part]
    ends = [b"X-%d: " % n + trailer.hex().encode() + newline for n, trailer in enumerate(trailers)]
    return b"".join([*chunks, b"0" + extension + newline, *ends, newline])


def fed(content: bytes, cuts: list[int]) -> tuple[bytes, Chunks]:
    chunks, out, at = Chunks(), b"", 0
    for cut in [*sorted(cut % (len(content) + 1) for cut in cuts), len(content)]:
        out += chunks.feed(content[at:cut])
        at = max(at, cut)
    return out, chunks


@given(
    parts=st.lists(st.binary(max_size=40), max_size=8),
    extension=extensions,
    newline=st.sampled_from([b"\r\n", b"\n"]),
    trailers=st.lists(st.binary(max_size=4), max_size=2),
    rest=st.binary(max_size=5),
    cuts=st.lists(st.integers(0, 10_000), max_size=12),
)
def test_chunked_body_is_decoded_however_it_is_split(
    parts: list[bytes], extension: bytes, newline: bytes, trailers: list[bytes], rest: bytes, cuts: list[int]
) -> None:
    out, chunks = fed(wire(parts, extension, newline, trailers) + rest, cuts)
    assert (out, chunks.is_complete, chunks.rest) == (b"".join(parts), True, rest)


@given(
    parts=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=8),
    cut=st.integers(1, 10_000),
    cuts=st.lists(st.integers(0, 10_000), max_size=4),
)
def test_truncated_chunked_body_is_never_complete(parts: list[bytes], cut: int, cuts: list[int]) -> None:
    whole = wire(parts, b"", b"\r\n", [])
    # A cut after the last chunk's own line would leave the content whole.
    short = whole[: len(whole) - 3 - cut % (len(whole) - 3)]
    out, chunks = fed(short, cuts)
    assert b"".join(parts).startswith(out)
    with pytest.raises(DownloadFailed, match="TRUNCATED"):
        chunks.end()


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
@pytest.mark.parametrize("part", [b"hello", b"hello\n", b"hello\r", b"a\r\n"])
@pytest.mark.parametrize("error", [-2, -1, 1, 2])
def test_chunk_of_another_size_than_announced_is_never_complete(part: bytes, newline: bytes, error: int) -> None:
    content = b"%x" % (len(part) + error) + newline + part + newline + b"0" + newline + newline
    with pytest.raises(DownloadFailed, match="BAD_RESPONSE"):
        fed(content, [])


@given(st.binary(max_size=60), st.lists(st.integers(0, 10_000), max_size=4))
def test_arbitrary_bytes_give_the_same_content_or_error_however_they_are_split(content: bytes, cuts: list[int]) -> None:
    def outcome(cuts: list[int]) -> object:
        try:
            out, chunks = fed(content, cuts)
        except DownloadFailed as failed:
            return failed.failure.code
        return out, chunks.is_complete, chunks.rest

    assert outcome(cuts) == outcome([])
