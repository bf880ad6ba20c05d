"""An answer depends on the bytes of its request, and not on the packets in which they arrive."""

import socket
import time
from collections.abc import Callable

import pytest

from tests.journeys.client import INGEST, HttpClient, answer_of
from tests.journeys.front import Front, head, new_front, status_and_body, to_the_end

__all__ = ["new_front"]

MENDED = {
    "lower case": (b"post " + INGEST.encode(), 405),
    "unknown": (b"PROPFIND " + INGEST.encode(), 405),
    "raw letter": ("GET /api/v1/é".encode(), 404),
    "later version": (b"GET /api/v1/nothing HTTP/1.2", 404),
    "sound": (b"GET /api/v1/nothing", 404),
}


def request(name: str) -> tuple[bytes, int]:
    line, status = MENDED[name]
    line = line if b" HTTP/" in line else line + b" HTTP/1.1"
    return line + b"\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", status


def post(framing: str) -> bytes:
    """The head of a POST that is refused for its body, and not before it has arrived: that would close the connection."""
    return head("POST", f"{INGEST}/validate", "x-api-key: KEY", "Content-Type: application/json", framing)


def send_split(connection: socket.socket, data: bytes, ends: list[int]) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for begin, end in zip([0, *ends], [*ends, len(data)], strict=True):
        connection.sendall(data[begin:end])
        time.sleep(0.02)  # else the kernel may join two packets


@pytest.mark.parametrize("name", MENDED)
def test_request_line_may_be_split_anywhere(client: HttpClient, name: str) -> None:
    data, status = request(name)
    line = data.index(b"\r\n")
    for ends in ([], [1], [6], [line // 2], [line - 3], [line], [line + 1], [line + 2], [1, 6, line, line + 1]):
        with client.raw() as connection:
            send_split(connection, data, ends)
            assert status_and_body(connection)[0] == status, ends


@pytest.mark.parametrize("name", MENDED)
@pytest.mark.parametrize(
    "before",
    [
        head("GET", "/healthz"),
        b"\r\n\r\n" + post("Content-Length: 7") + b"\n\r\n\r\n..",
        post("Transfer-Encoding: chunked") + b"4\r\n\n\r\n.\r\n0\r\n\r\n\r\n",
        post("Transfer-Encoding: chunked") + b"0\r\nX: y\r\n\r\n\r\n",
        head("GET", "/healthz", "Connection: Upgrade", "Upgrade: h2c"),
    ],
)
def test_request_line_may_follow_another_request_in_one_packet(client: HttpClient, before: bytes, name: str) -> None:
    data, status = request(name)
    before = before.replace(b"KEY", client.key.encode())
    for ends in ([], [len(before) - 1], [len(before)], [len(before) + 3]):
        with client.raw() as connection:
            send_split(connection, before + data, ends)
            answers = to_the_end(connection)
        assert answers.count(b"HTTP/1.1 ") == 2
        assert answers.rpartition(b"HTTP/1.1 ")[2].startswith(b"%d" % status), ends


@pytest.mark.parametrize(
    ("line", "hosts", "status"),
    [
        ("GET /healthz HTTP/1.1", 0, 400),
        ("GET /healthz HTTP/1.1", 1, 200),
        ("GET /healthz HTTP/1.1", 2, 400),
        ("GET /healthz HTTP/1.0", 0, 200),
        ("GET /healthz HTTP/1.0", 2, 400),
        ("GET /healthz HTTP/1.9", 1, 200),
        ("GET /healthz HTTP/2.0", 1, 505),
        ("GET /healthz HTTP/3", 1, 505),
    ],
)
def test_version_and_host_are_those_of_the_protocol(client: HttpClient, line: str, hosts: int, status: int) -> None:
    with client.raw() as connection:
        connection.sendall("\r\n".join([line, *["Host: 127.0.0.1"] * hosts, "", ""]).encode())
        assert answer_of(connection).startswith(b"HTTP/1.1 %d" % status)


@pytest.mark.parametrize(
    ("host", "status"), [("", 200), ("[::1]:80", 200), ("a_b.example:1", 200), ("a b", 400), ("a/b@c", 400), ("é", 400)]
)
def test_host_must_be_a_host_and_a_port(client: HttpClient, host: str, status: int) -> None:
    with client.raw() as connection:
        connection.sendall(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert answer_of(connection).startswith(b"HTTP/1.1 %d" % status)


def test_unfinished_request_line_is_rejected_after_the_timeout(new_front: Callable[..., Front]) -> None:
    front = new_front(EVERMUSE_HEAD_TIMEOUT_SECONDS="1")
    with front.raw() as connection:
        connection.sendall(b"get /healthz")
        status, body = status_and_body(connection)
    assert (status, body["message"]) == (400, "The head of the request did not arrive in time.")
