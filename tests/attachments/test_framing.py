"""Where a body ends: the file is whole or the answer is rejected; chunk framing is never stored as content."""

import shutil
import socket
import ssl
import subprocess
from typing import Any

import pytest

from attachments.download_failures import DownloadFailed
from attachments.fetch import dial, download, http_head
from attachments.fetch.watch import watchdog
from tests.attachments.vendor import Exchange, Vendor

CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
TE = b"Transfer-Encoding: chunked\r\n"


def fetch(url: str) -> bytes | str:
    """Returns the body, or the code of the failure."""
    try:
        with watchdog.watching(seconds=20) as transfer, download.opened(url, transfer) as answer:
            return b"".join(answer.chunks)
    except DownloadFailed as failed:
        return failed.failure.code


def interim(*lines: bytes) -> bytes:
    return b"".join(line + b"\r\n\r\n" for line in lines)


# Answers with unusual framing whose body is certain.
READ = {
    "a header name with a blank in it": OK + b"My Param: None\r\n" + TE + b"\r\n" + CHUNKED,
    "a line without a colon": OK + b"X-Powered-By PHP\r\n" + TE + b"\r\n" + CHUNKED,
    "a line without a colon, and a length": OK + b"X-Powered-By PHP\r\nContent-Length: 5\r\n\r\nhello",
    "an empty header name": OK + b": x\r\nContent-Length: 5\r\n\r\nhello",
    "a name of other characters": OK + b"X(a)\xe9: x\r\n" + TE + b"\r\n" + CHUNKED,
    "identity, chunked": OK + b"Transfer-Encoding: identity, chunked\r\n\r\n" + CHUNKED,
    "identity on a line of its own": OK + b"Transfer-Encoding: identity\r\n" + TE + b"\r\n" + CHUNKED,
    "identity with a length": OK + b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
    "CHUNKED in capitals": OK + b"TRANSFER-ENCODING: CHUNKED\r\n\r\n" + CHUNKED,
    "a blank before the colon": OK + b"Transfer-Encoding : chunked\r\n\r\n" + CHUNKED,
    "an empty element": OK + b"Transfer-Encoding: ,chunked,\r\n\r\n" + CHUNKED,
    "a folded value": OK + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + CHUNKED,
    "a folded other header": OK + b"X-A: b\r\n\tc\r\n" + TE + b"\r\n" + CHUNKED,
    "a length beside chunked": OK + b"Content-Length: 3\r\n" + TE + b"\r\n" + CHUNKED,
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\n" + TE + b"\r\n" + CHUNKED,
    "a length twice": OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a length in a list": OK + b"Content-Length: 5, 5\r\n\r\nhello",
    "more than the length": OK + b"Content-Length: 5\r\n\r\nhello world",
    "LF alone": (OK + TE + b"\r\n" + CHUNKED).replace(b"\r\n", b"\n"),
    "120 headers": OK + b"".join(b"X-%d: 1\r\n" % n for n in range(120)) + b"Content-Length: 5\r\n\r\nhello",
    "5,000 headers": OK + b"".join(b"X-%d: 1\r\n" % n for n in range(5000)) + TE + b"\r\n" + CHUNKED,
    "a header of 90 kB": OK + b"X: " + b"a" * 90_000 + b"\r\n" + TE + b"\r\n" + CHUNKED,
    "103 Early Hints": interim(b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload") + OK + TE + b"\r\n" + CHUNKED,
    "100 and 102": interim(b"HTTP/1.1 100 Continue", b"HTTP/1.1 102 Processing") + OK + TE + b"\r\n" + CHUNKED,
    "an interim answer with a length": interim(b"HTTP/1.1 199 Odd\r\nContent-Length: 9") + OK + TE + b"\r\n" + CHUNKED,
    "40 interim answers": interim(*[b"HTTP/1.1 102 Processing"] * 40) + OK + TE + b"\r\n" + CHUNKED,
    "a length in a list with an empty element": OK + b"Content-Length: 5,\r\n\r\nhello",
    "no reason phrase": b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.0 until its end": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "HTTP/1.1 until its end": OK + b"\r\nhello",
    "chunk extensions": OK + TE + b'\r\n5;a=b;c="d"\r\nhello\r\n0;x\r\n\r\n',
    "blanks behind a chunk's size": OK + TE + b"\r\n5  \r\nhello\r\n0 \r\n\r\n",
    "leading zeros": OK + TE + b"\r\n0005\r\nhello\r\n000\r\n\r\n",
    "trailers": OK + TE + b"\r\n5\r\nhello\r\n0\r\nX-A: b\r\nContent-Length: 1\r\n\r\n",
    "no empty line behind the last chunk": OK + TE + b"\r\n5\r\nhello\r\n0\r\n",
    "many chunks": OK + TE + b"\r\n" + b"".join(b"1\r\n%c\r\n" % c for c in b"hello") + b"0\r\n\r\n",
}  # fmt: skip

# Answers whose framing is ambiguous, or whose body is cut off.
REFUSED = {
    "7 of 5,000 bytes behind a bad line": (OK + b"X-Powered-By PHP\r\nContent-Length: 5000\r\n\r\ncut off", "TRUNCATED"),
    "a framing header without a colon": (OK + b"Transfer-Encoding chunked\r\n\r\n" + CHUNKED, "BAD_RESPONSE"),
    "a framing header with a blank before it": (OK + b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n" + CHUNKED, "BAD_RESPONSE"),
    "a framing header in a name": (OK + b"X Transfer-Encoding: chunked\r\n\r\n" + CHUNKED, "BAD_RESPONSE"),
    "a framing header behind a lone CR": (OK + b"X: a\rTransfer-Encoding: chunked\r\n\r\n" + CHUNKED, "BAD_RESPONSE"),
    "gzip, chunked": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKED, "BAD_RESPONSE"),
    "chunked, gzip": (OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + CHUNKED, "BAD_RESPONSE"),
    "chunked, chunked": (OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + CHUNKED, "BAD_RESPONSE"),
    "xchunked": (OK + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKED, "BAD_RESPONSE"),
    "chunked with a vertical tab": (OK + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + CHUNKED, "BAD_RESPONSE"),
    "chunked in quotes": (OK + b'Transfer-Encoding: "chunked"\r\n\r\n' + CHUNKED, "BAD_RESPONSE"),
    "two lengths": (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "BAD_RESPONSE"),
    "two lengths in a list": (OK + b"Content-Length: 5, 6\r\n\r\nhello", "BAD_RESPONSE"),
    "a length with a sign": (OK + b"Content-Length: +5\r\n\r\nhello", "BAD_RESPONSE"),
    "a negative length": (OK + b"Content-Length: -5\r\n\r\nhello", "BAD_RESPONSE"),
    "a hexadecimal length": (OK + b"Content-Length: 0x5\r\n\r\nhello", "BAD_RESPONSE"),
    "a length with an underscore": (OK + b"Content-Length: 0_5\r\n\r\nhello", "BAD_RESPONSE"),
    "a length in other digits": (OK + "Content-Length: ٥\r\n\r\nhello".encode(), "BAD_RESPONSE"),
    "an empty length": (OK + b"Content-Length:\r\n\r\nhello", "BAD_RESPONSE"),
    "a folded length": (OK + b"Content-Length: 5\r\n 0\r\n\r\nhello", "BAD_RESPONSE"),
    "an endless length": (OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nhello", "BAD_RESPONSE"),
    "a NUL in a header": (OK + b"X: a\0b\r\n" + TE + b"\r\n" + CHUNKED, "BAD_RESPONSE"),
    "HTTP/0.9": (b"hello", "BAD_RESPONSE"),
    "a greeting of another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "BAD_RESPONSE"),
    "HTTP/2 in words": (b"HTTP/2 200\r\nContent-Length: 5\r\n\r\nhello", "BAD_RESPONSE"),
    "a status that is none": (b"HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello", "BAD_RESPONSE"),
    "a status of letters": (b"HTTP/1.1 abc OK\r\nContent-Length: 5\r\n\r\nhello", "BAD_RESPONSE"),
    "101": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nhello", "BAD_RESPONSE"),
    "endless interim answers": (b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, "BAD_RESPONSE"),
    "headers of 2 MB": (OK + b"X: " + b"a" * 2_000_000 + b"\r\n\r\n", "BAD_RESPONSE"),
    "folded lines without end": (OK + b"X: a\r\n" + b" b\r\n" * 50_000 + TE + b"\r\n" + CHUNKED, "BAD_RESPONSE"),
    "an interim answer alone": (b"HTTP/1.1 100 Continue\r\n\r\n", "CONNECTION_LOST"),
    "half a head": (OK + b"Content-Len", "CONNECTION_LOST"),
    "a short body": (OK + b"Content-Length: 6\r\n\r\nhello", "TRUNCATED"),
    "no last chunk": (OK + TE + b"\r\n5\r\nhello\r\n", "TRUNCATED"),
    "half a last chunk": (OK + TE + b"\r\n5\r\nhello\r\n0", "TRUNCATED"),
    "half a chunk": (OK + TE + b"\r\n5\r\nhel", "TRUNCATED"),
    "half a trailer": (OK + TE + b"\r\n5\r\nhello\r\n0\r\nX-A: b\r\n", "TRUNCATED"),
    "a chunk longer than its size": (OK + TE + b"\r\n5\r\nhello world\r\n0\r\n\r\n", "BAD_RESPONSE"),
    "a chunk's size of 0x5": (OK + TE + b"\r\n0x5\r\nhello\r\n0\r\n\r\n", "BAD_RESPONSE"),
    "a chunk's size of +5": (OK + TE + b"\r\n+5\r\nhello\r\n0\r\n\r\n", "BAD_RESPONSE"),
    "a chunk's size of 0_5": (OK + TE + b"\r\n0_5\r\nhello\r\n0\r\n\r\n", "BAD_RESPONSE"),
    "a blank before a chunk's size": (OK + TE + b"\r\n 5\r\nhello\r\n0\r\n\r\n", "BAD_RESPONSE"),
    "a negative chunk": (OK + TE + b"\r\n-5\r\nhello\r\n0\r\n\r\n", "BAD_RESPONSE"),
    "an empty chunk's size": (OK + TE + b"\r\n\r\nhello\r\n0\r\n\r\n", "BAD_RESPONSE"),
    "a chunk's size without end": (OK + TE + b"\r\n" + b"0" * 100_000, "BAD_RESPONSE"),
    "a chunk of 2^64": (OK + TE + b"\r\n10000000000000000\r\nhello\r\n0\r\n\r\n", "BAD_RESPONSE"),
    "trailers without end": (OK + TE + b"\r\n5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 20_000, "BAD_RESPONSE"),
    "no chunks under chunked": (OK + TE + b"\r\nhello", "TRUNCATED"),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_body_with_unusual_but_certain_framing_is_read_whole(vendor: Vendor, name: str) -> None:
    assert fetch(vendor.on("/f", lambda x: x.send(READ[name]))) == b"hello"


@pytest.mark.parametrize("name", REFUSED)
def test_answer_with_ambiguous_or_incomplete_framing_is_rejected(vendor: Vendor, name: str) -> None:
    raw, code = REFUSED[name]
    assert fetch(vendor.on("/f", lambda x: x.send(raw))) == code


@pytest.mark.parametrize("name", [name for name, raw in READ.items() if len(raw) < 2000])
def test_answer_sent_byte_by_byte_is_read_the_same(vendor: Vendor, name: str) -> None:
    raw = READ[name]

    def behave(exchange: Exchange) -> None:
        exchange.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in raw:
            exchange.send(bytes([byte]))

    assert fetch(vendor.on("/f", behave)) == b"hello"


# For these answers curl 7.88 would return the chunk framing as content.
NOT_AS_CURL = {"a folded value", "a blank before the colon"}


@pytest.mark.parametrize("name", [name for name in (*READ, *REFUSED) if name not in NOT_AS_CURL])
def test_every_accepted_body_equals_the_one_that_curl_reads(vendor: Vendor, name: str) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed here")
    url = vendor.on("/f", lambda x: x.send(READ[name] if name in READ else REFUSED[name][0]))
    done = subprocess.run(
        [curl, "--silent", "--fail", "--noproxy", "*", "--max-time", "20", url], capture_output=True, check=False
    )
    ours = fetch(url)
    if isinstance(ours, bytes) and done.returncode == 0:
        assert ours == done.stdout


def test_tls_connection_closed_without_close_notify_counts_as_cut_off(secure_vendor: Vendor) -> None:
    def whole(exchange: Exchange) -> None:
        exchange.send(OK + b"\r\nhello")
        assert isinstance(exchange.socket, ssl.SSLSocket)
        exchange.socket.unwrap()

    def cut(exchange: Exchange) -> None:
        exchange.send(OK + b"\r\nhel")
        socket.socket(fileno=exchange.socket.detach()).close()

    assert fetch(secure_vendor.on("/whole", whole)) == b"hello"
    assert fetch(secure_vendor.on("/cut", cut)) == "CONNECTION_LOST"


@pytest.mark.parametrize(
    "raw",
    [
        OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello",
        OK + b"Content-Length: 5\r\n\r\nhello world",
        OK + b"Content-Length: 5\r\n" + TE + b"\r\n" + CHUNKED,
        OK + TE + b"\r\n" + CHUNKED + b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
def test_connection_is_not_reused_after_an_answer_with_doubtful_framing(vendor: Vendor, raw: bytes) -> None:
    def behave(exchange: Exchange) -> None:
        exchange.send(raw)
        exchange.is_kept = True

    url = vendor.on("/f", behave)
    with dial.keeping_connections():
        assert [fetch(url), fetch(url)] == [b"hello", b"hello"]
    assert vendor.connections == 2


def test_connection_is_reused_after_chunked_answers_and_redirects(vendor: Vendor) -> None:
    def keep(raw: bytes, exchange: Exchange) -> None:
        exchange.send(raw)
        exchange.is_kept = True

    chunked = vendor.on("/chunked", lambda x: keep(OK + TE + b"\r\n" + CHUNKED, x))
    away = vendor.on("/away", lambda x: keep(b"HTTP/1.1 302 F\r\nLocation: /chunked\r\nContent-Length: 2\r\n\r\nno", x))
    with dial.keeping_connections():
        assert [fetch(url) for url in (chunked, away, chunked)] == [b"hello"] * 3
    assert vendor.connections == 1


def test_search_for_the_end_of_the_head_reads_each_byte_a_bounded_number_of_times() -> None:
    """This holds however the bytes are split into pieces."""

    class Counting(bytearray):
        looked = 0

        def find(self, *args: Any) -> int:
            self.looked += len(self) - int(args[1])
            return super().find(*args)

    content = Counting(b"HTTP/1.1 200 OK\r\n")
    size = 5000
    for looked in range(len(content), size):
        content += b"a"
        assert http_head.end_of_head(content, looked) == -1
    assert 0 < content.looked < 20 * size
