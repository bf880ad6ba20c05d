"""Request lines that the parser would reject are rewritten into a form that it accepts."""

import pytest

from evermuse.web.request_line import OtherVersion, find, mended


@pytest.mark.parametrize(
    ("sent", "method", "fed"),
    [
        (b"GET /a HTTP/1.1\r\n", "GET", b"GET /a HTTP/1.1\r\n"),
        (b"FOO /a HTTP/1.1\r\n", "FOO", b"PUT /a HTTP/1.1\r\n"),
        (b"GET /a?b=\xc3\xa9%20 HTTP/1.0\n", "GET", b"GET /a?b=%C3%A9%20 HTTP/1.0\n"),
        (b"PROPFIND /\xff HTTP/1.1\r\n", "PROPFIND", b"PUT /%FF HTTP/1.1\r\n"),
        (b"get /a HTTP/1.1\r\n", "UNKNOWN", b"PUT /a HTTP/1.1\r\n"),
        (b"Post /a HTTP/1.2\r\n", "UNKNOWN", b"PUT /a HTTP/1.1\r\n"),
    ],
)
def test_request_line_with_unknown_method_or_raw_bytes_is_rewritten_for_the_parser(
    sent: bytes, method: str, fed: bytes
) -> None:
    assert mended(sent) == (method, fed)


@pytest.mark.parametrize(
    "sent", [b"FOO /a HTTP/1.1", b"FOO /a b HTTP/1.1\r\n", b"FOO /a HTTP/x\r\n", b"F\xc3\xa9 /a HTTP/1.1\r\n"]
)
def test_unrecognizable_request_line_is_left_to_the_parser(sent: bytes) -> None:
    assert mended(sent) == (None, sent)


@pytest.mark.parametrize("version", [b"0.9", b"2.0", b"2", b"3.0", b"11.0"])
def test_another_major_version_is_refused(version: bytes) -> None:
    with pytest.raises(OtherVersion):
        mended(b"GET / HTTP/%b\r\n" % version)


def test_request_line_is_found_once_it_is_whole() -> None:
    data = b"...\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert [find(data[:end], 3) for end in (3, 7, 8, 22)] == [(3, None), (7, None), (7, None), (7, None)]
    assert find(data, 3) == (7, 23)


def test_bytes_that_begin_no_request_line_are_not_waited_for() -> None:
    assert find(b"\x16\x03\x01", 0) == (0, 3)
