"""The head of an answer: no surrounding line hides a header that frames the body."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachments.download_failures import DownloadFailed
from attachments.fetch import http_head

# Any bytes but those that end a line or the head.
junk = st.binary(min_size=1, max_size=30).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b"") or b"x")
lines = st.lists(junk | st.sampled_from([b"X: y", b" folded", b"\tfolded", b"no colon", b"a b: c", b": x"]), max_size=6)


def outcome(head: bytes) -> http_head.Framing | str:
    try:
        return http_head.framing(http_head.parse(head))
    except DownloadFailed as failed:
        return failed.failure.code


@given(before=lines, after=lines, newline=st.sampled_from([b"\r\n", b"\n"]))
def test_surrounding_lines_never_hide_the_chunked_coding(
    before: list[bytes], after: list[bytes], newline: bytes
) -> None:
    head = newline.join([b"HTTP/1.1 200 OK", *before, b"Transfer-Encoding: chunked", *after, b"", b""])
    found = outcome(head)
    # A folded line after the header becomes part of its value, which makes the answer invalid.
    assert found == "BAD_RESPONSE" or (isinstance(found, http_head.Framing) and found.is_chunked)


@given(before=lines, after=lines, newline=st.sampled_from([b"\r\n", b"\n"]))
def test_surrounding_lines_never_hide_the_content_length(
    before: list[bytes], after: list[bytes], newline: bytes
) -> None:
    head = newline.join([b"HTTP/1.1 200 OK", *before, b"Content-Length: 5", *after, b"", b""])
    found = outcome(head)
    assert found == "BAD_RESPONSE" or (isinstance(found, http_head.Framing) and found.length == 5)


@given(st.binary(max_size=80), st.lists(st.integers(0, 80), max_size=4))
def test_end_of_the_head_is_found_however_the_bytes_are_split(content: bytes, cuts: list[int]) -> None:
    content = b"HTTP/1.1 200 OK\r\nX: y" + content + b"\r\n\r\nbody"
    buffer, looked, end = bytearray(), 0, -1
    for cut in [*sorted(cuts), len(content)]:
        buffer += content[len(buffer) : max(cut, len(buffer))]
        if (end := http_head.end_of_head(buffer, looked)) >= 0:
            break
        looked = len(buffer)
    whole = http_head.end_of_head(bytearray(content), 0)
    assert end == whole
    assert content[:whole].endswith((b"\n\r\n", b"\n\n"))
    assert not any(content[:at].endswith((b"\n\r\n", b"\n\n")) for at in range(whole))


@pytest.mark.parametrize("content", [b"", b"H", b"HTTP/1.", b"HTTP/1.1 200"])
def test_first_bytes_of_a_possible_answer_are_accepted(content: bytes) -> None:
    assert http_head.may_begin(content)


@pytest.mark.parametrize("content", [b"\r\n", b"h", b"HTTP/2", b"HTTQ", b"SSH-2.0"])
def test_first_bytes_of_another_protocol_are_rejected(content: bytes) -> None:
    assert not http_head.may_begin(content)
