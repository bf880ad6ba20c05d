"""Request lines that the parser would reject are rewritten into a form that it accepts."""

import pytest

from evermuse.web.request_line import mended


@pytest.mark.parametrize(
    ("sent", "method", "fed"),
    [
        (b"FOO /a HTTP/1.1\r\nHost: x\r\n\r\nrest", "FOO", b"PUT /a HTTP/1.1\r\nHost: x\r\n\r\nrest"),
        (b"\r\nGET /a?b=\xc3\xa9%20 HTTP/1.0\r\n\r\n", "GET", b"GET /a?b=%C3%A9%20 HTTP/1.0\r\n\r\n"),
        (b"PROPFIND /\xff HTTP/1.1\r\n", "PROPFIND", b"PUT /%FF HTTP/1.1\r\n"),
        (b"get /a HTTP/1.1\r\n", "UNKNOWN", b"PUT /a HTTP/1.1\r\n"),
        (b"Post /a HTTP/1.1\r\n", "UNKNOWN", b"PUT /a HTTP/1.1\r\n"),
    ],
)
def test_request_line_with_unknown_method_or_raw_bytes_is_rewritten_for_the_parser(
    sent: bytes, method: str, fed: bytes
) -> None:
    assert mended(b"before" + sent, 6) == (method, fed)
    assert mended(fed, 0) is None


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /a HTTP/1.1\r\n",
        b"FOO /a HTTP/1.1",
        b"FOO /a b HTTP/1.1\r\n",
        b"FOO /a HTTP/3.0\r\n",
        b"F\xc3\xa9 /a HTTP/1.1\r\n",
    ],
)
def test_valid_or_unrecognizable_request_line_is_left_unchanged(sent: bytes) -> None:
    assert mended(sent, 0) is None
