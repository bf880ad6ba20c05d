"""The head of an answer: whatever stands around it, no header that frames the body is overlooked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachments.download_failures import DownloadFailed
from attachments.fetch import http_head

# Anything but what ends a line or the head.
junk = st.binary(min_size=1, max_size=30).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b"") or b"x")
lines = st.lists(junk | st.sampled_from([b"X: y", b" folded", b"\tfolded", b"no colon", b"a b: c", b": x"]), max_size=6)


def outcome(head: bytes) -> http_head.Framing | str:
    try:
        return http_head.framing(http_head.parse(head))
    except DownloadFailed as failed:
        return failed.failure.code


@given(before=lines, after=lines, newline=st.sampled_from([b"\r\n", b"\n"]))
def test_no_line_hides_that_a_body_is_chunked(before: list[bytes], after: list[bytes], newline: bytes) -> None:
    head = newline.join([b"HTTP/1.1 200 OK", *before, b"Transfer-Encoding: chunked", *after, b"", b""])
    found = outcome(head)
    # A folded line behind it belongs to its value, which is refused then.
    assert found == "BAD_RESPONSE" or (isinstance(found, http_head.Framing) and found.is_chunked)


@given(before=lines, after=lines, newline=st.sampled_from([b"\r\n", b"\n"]))
def test_no_line_hides_the_length_of_a_body(before: list[bytes], after: list[bytes], newline: bytes) -> None:
    head = newline.join([b"HTTP/1.1 200 OK", *before, b"Content-Length: 5", *after, b"", b""])
    found = outcome(head)
    assert found == "BAD_RESPONSE" or (isinstance(found, http_head.Framing) and found.length == 5)


@given(st.binary(max_size=80), st.lists(st.integers(0, 80), max_size=4))
def test_the_heads_end_is_the_same_whatever_the_pieces(content: bytes, cuts: list[int]) -> None:
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
def test_what_may_be_an_answer_is_waited_for(content: bytes) -> None:
    assert http_head.may_begin(content)


@pytest.mark.parametrize("content", [b"\r\n", b"h", b"HTTP/2", b"HTTQ", b"SSH-2.0"])
def test_what_is_no_answer_is_known_by_its_first_bytes(content: bytes) -> None:
    assert not http_head.may_begin(content)
