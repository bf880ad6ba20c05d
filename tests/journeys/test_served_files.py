"""Stored files served by the web process over real sockets."""

import http.client
import secrets
import socket
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from tests.attachments.vendor import Vendor
from tests.journeys.client import INGEST, HttpClient, answer_of
from tests.journeys.front import Front, head, new_front, to_the_end
from tests.journeys.proxy import CLOSED, PASS
from tests.journeys.stack import Stack, until
from tests.records import record

__all__ = ["new_front"]
# More than the kernel buffers for a loopback connection.
SIZE = 16 * 1024 * 1024


@pytest.fixture
def stored(client: HttpClient, vendor: Vendor) -> tuple[str, bytes]:
    """The download URL of a stored file, and its content."""
    body = secrets.token_bytes(SIZE)
    url = vendor.on("/f", lambda exchange: exchange.answer(body))
    batch_id = client.send(record(attachments=[{"type": "file", "vendor_url": url, "filename": "größe.bin"}]))
    client.settled(batch_id)
    (row,) = client.pages(f"{INGEST}/batches/{batch_id}/attachments", "attachments")
    return row["downloadUrl"], body


def test_download_url_serves_the_file_without_a_key(stack: Stack, stored: tuple[str, bytes]) -> None:
    url, body = stored
    assert url.startswith(f"{stack.url}/files?")
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == body
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "filename*=UTF-8''gr%C3%B6%C3%9Fe.bin" in answer.headers["Content-Disposition"]


def test_one_connection_serves_range_and_head_requests_of_a_file(stored: tuple[str, bytes]) -> None:
    parts = urlsplit(stored[0])
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 0, timeout=30)
    for method, asked, status, content in (
        ("GET", "bytes=5-9", 206, stored[1][5:10]),
        ("HEAD", "bytes=5-9", 206, b""),
        ("GET", f"bytes={SIZE}-", 416, b""),
        ("GET", "bytes=-3000000", 206, stored[1][-3_000_000:]),
    ):
        connection.request(method, f"{parts.path}?{parts.query}", headers={"Range": asked})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (status, content)
    connection.close()


def _paused(front: Front, url: str) -> socket.socket:
    parts = urlsplit(url)
    connection = front.raw(receive_buffer=4096)
    connection.sendall(head("GET", f"{parts.path}?{parts.query}"))
    assert connection.recv(12) == b"HTTP/1.1 200"
    return connection


def test_paused_file_downloads_delay_no_other_request_and_resume(
    client: HttpClient, stored: tuple[str, bytes], new_front: Callable[..., Front]
) -> None:
    # More downloads than there are threads for files or room for their pieces.
    front = new_front(EVERMUSE_ANSWER_BUDGET_BYTES=str(8 * 1024 * 1024))
    url, body = stored
    paused = [_paused(front, url) for _ in range(12)]
    parts = urlsplit(url)
    with urllib.request.urlopen(f"{front.url}{parts.path}?{parts.query}", timeout=30) as answer:
        assert answer.read() == body
    assert front.client(client).get("/api/v1/records").status_code == 200
    for connection in paused[:2]:
        got = _whole(connection)
        assert got == body
    for connection in paused:
        connection.close()


def _whole(connection: socket.socket) -> bytes:
    """Returns the content of an answer whose first 12 bytes have been read."""
    parts: list[bytes] = []
    while True:
        part = connection.recv(1 << 20)
        parts.append(part)
        if not part or sum(map(len, parts)) > SIZE:
            break
    return b"".join(parts).partition(b"\r\n\r\n")[2]


def test_file_of_a_reader_that_pauses_too_long_is_visibly_truncated(
    stored: tuple[str, bytes], new_front: Callable[..., Front]
) -> None:
    front = new_front(EVERMUSE_READER_PAUSE_SECONDS="1")
    with _paused(front, stored[0]) as connection:
        place = connection.getsockname()[1]
        until(lambda: not front.connections(place), "the connection is closed")
        assert len(to_the_end(connection)) < SIZE


def test_file_is_visibly_truncated_when_the_store_goes_away(
    stack: Stack, stored: tuple[str, bytes], new_front: Callable[..., Front]
) -> None:
    front = new_front()
    with _paused(front, stored[0]) as connection:
        stack.store_proxy.switch(CLOSED)
        try:
            assert len(to_the_end(connection)) < SIZE
        finally:
            stack.store_proxy.switch(PASS)
    assert front.answers()


def test_unknown_download_ticket_gets_an_error_in_the_documented_shape(stack: Stack) -> None:
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as connection:
        connection.sendall(head("GET", "/files?ticket=x"))
        top, _, body = answer_of(connection).partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.1 403")
    assert b'"error": "FORBIDDEN"' in body
