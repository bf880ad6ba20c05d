"""The head of a request, over real sockets: rejections before the body, connections, and header names."""

import contextlib
import json
import os
import re
import select
import signal
import socket
import struct
import uuid
from collections.abc import Callable

import pytest

from tests.journeys.client import INGEST, HttpClient, answer_of
from tests.journeys.front import Front, head, new_front, status_and_body
from tests.journeys.stack import Stack, lives, until
from tests.records import record

__all__ = ["new_front"]
MIB = 1024 * 1024
ANNOUNCED = ("Content-Type: application/json", "Content-Length: 4000000")


@pytest.mark.parametrize(
    ("method", "path", "lines", "status", "error"),
    [
        ("POST", INGEST, (), 401, "UNAUTHORIZED"),
        ("POST", INGEST, ("x-api-key: em_sk_unknown",), 401, "UNAUTHORIZED"),
        ("POST", f"{INGEST}/validate", (), 401, "UNAUTHORIZED"),
        ("POST", "/api/v1/uploads", (), 401, "UNAUTHORIZED"),
        ("POST", "/api/v1/nothing", (), 404, "NOT_FOUND"),
        ("PUT", INGEST, (), 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/healthz", (), 405, "METHOD_NOT_ALLOWED"),
        ("POST", f"{INGEST}?format=x", ("KEY",), 400, "INVALID_BODY"),
        ("POST", INGEST, ("KEY", "Idempotency-Key: "), 400, "INVALID_IDEMPOTENCY_KEY"),
        ("POST", INGEST, ("KEY", "Idempotency-Key: a", "Idempotency-Key: b"), 400, "INVALID_IDEMPOTENCY_KEY"),
        (
            "POST",
            INGEST,
            ("KEY", "Idempotency-Key: a", "Idempotency-Key: b", "Idempotency-Key: a"),
            400,
            "INVALID_IDEMPOTENCY_KEY",
        ),
        ("POST", f"{INGEST}%2F", ("KEY",), 404, "NOT_FOUND"),
        ("POST", "/api/v1%2fingest", ("KEY",), 404, "NOT_FOUND"),
        ("POST", "/api%252Fv1/ingest", ("KEY",), 404, "NOT_FOUND"),
        ("POST", INGEST, ("KEY", "Content-Encoding: br"), 415, "UNSUPPORTED_MEDIA_TYPE"),
    ],
)
def test_request_is_rejected_by_its_head_before_the_body_is_sent(
    client: HttpClient, method: str, path: str, lines: tuple[str, ...], status: int, error: str
) -> None:
    sent = [line.replace("KEY", f"x-api-key: {client.key}") if line == "KEY" else line for line in lines]
    with client.raw() as connection:
        connection.sendall(head(method, path, *ANNOUNCED, *sent))
        got, body = status_and_body(connection)
    assert (got, body["error"]) == (status, error)


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 9000000",),
        (f"Content-Length: {5 * MIB + 1}",),
        (f"Content-Length: {5 * MIB + 1}", "Expect: 100-continue"),
        (f"Content-Length: {5 * MIB + 1}", "Content-Encoding: identity"),
        ("Content-Length: 9000000", "Content-Encoding: gzip"),
    ],
)
def test_content_length_over_the_limit_is_rejected_at_once(client: HttpClient, lines: tuple[str, ...]) -> None:
    with client.raw() as connection:
        connection.sendall(client.opening(*lines))
        got, body = status_and_body(connection)
    assert (got, body["error"]) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize("blanks", [" ", "\t", " \t  "])
def test_blanks_after_the_value_of_a_header_are_no_part_of_it(client: HttpClient, blanks: str) -> None:
    body = json.dumps(record()).encode()
    key = uuid.uuid4().hex
    answers = []
    for after in ("", blanks):
        lines = [
            f"x-api-key: {client.key}",
            f"Idempotency-Key: {key}",
            "Content-Type: application/json",
            "Connection: close",
        ]
        sent = head("POST", INGEST, *(line + after for line in [*lines, f"Content-Length: {len(body)}"]))
        with client.raw() as connection:
            connection.sendall(sent + body)
            answers.append(answer_of(connection))
    assert all(answer.startswith(b"HTTP/1.1 202") for answer in answers)
    assert b"idempotent-replayed: true" in answers[1].lower()


def test_request_with_a_delayed_body_counts_once_against_the_rate_limit(stack: Stack) -> None:
    client = stack.new_client(rate_limit=1)
    body = json.dumps(record(data={"t": "x" * 200_000})).encode()
    with client.raw() as connection:
        connection.sendall(client.opening(f"Content-Length: {len(body)}", "Expect: 100-continue"))
        assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert b" 202 " in answer_of(connection).split(b"\r\n")[0]


def test_key_over_its_rate_is_rejected_before_the_body_is_sent(stack: Stack) -> None:
    client = stack.new_client(rate_limit=1)

    def statuses() -> list[bytes]:
        opened = [client.raw() for _ in range(4)]
        for connection in opened:
            connection.sendall(client.opening("Content-Length: 4000000"))
        readable, _, _ = select.select(opened, [], [], 2)
        found = [connection.recv(12) for connection in readable]
        for connection in opened:
            connection.close()
        return found

    until(lambda: b"HTTP/1.1 429" in statuses(), "a second request within the second is refused")


def test_client_that_keeps_sending_receives_its_rejection(client: HttpClient) -> None:
    with client.raw() as connection:
        connection.sendall(head("POST", INGEST, *ANNOUNCED))
        for _ in range(40):
            connection.sendall(b" " * 100_000)
        got = answer_of(connection)
    assert got.startswith(b"HTTP/1.1 401") and b"connection: close" in got


def test_client_that_sends_60_mb_before_it_reads_receives_its_rejection(client: HttpClient) -> None:
    with client.raw() as connection:
        connection.sendall(client.opening(f"Content-Length: {60 * MIB}"))
        for _ in range(60):
            connection.sendall(b" " * MIB)
        assert status_and_body(connection)[1]["error"] == "PAYLOAD_TOO_LARGE"


def test_client_that_half_closes_after_its_request_gets_the_answer(client: HttpClient) -> None:
    body = json.dumps(record()).encode()
    with client.raw() as connection:
        connection.sendall(client.opening(f"Content-Length: {len(body)}") + body)
        connection.shutdown(socket.SHUT_WR)
        assert b" 202 " in answer_of(connection).split(b"\r\n")[0]


def test_expect_100_continue_is_granted_to_a_valid_key_only(client: HttpClient) -> None:
    body = json.dumps(record()).encode()
    with client.raw() as connection:
        connection.sendall(client.opening(f"Content-Length: {len(body)}", "Expect: 100-continue"))
        assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert b" 202 " in answer_of(connection).split(b"\r\n")[0]
    with client.raw() as connection:
        connection.sendall(head("POST", INGEST, *ANNOUNCED, "Expect: 100-continue"))
        assert connection.recv(12) == b"HTTP/1.1 401"


def test_headers_with_underscores_in_their_names_are_ignored(client: HttpClient) -> None:
    with client.raw() as connection:
        connection.sendall(head("GET", f"{INGEST}/batches", f"x_api_key: {client.key}"))
        assert status_and_body(connection)[0] == 401


def test_idempotency_key_that_is_sent_twice_counts_once(client: HttpClient) -> None:
    body = json.dumps(record()).encode()
    twice = ("Idempotency-Key: same, with a comma",) * 2
    ids = set()
    for headers in (twice, twice[:1]):
        with client.raw() as connection:
            connection.sendall(client.opening(f"Content-Length: {len(body)}", *headers) + body)
            status, answer = status_and_body(connection)
        assert status == 202
        ids.add(answer["batchId"])
    assert len(ids) == 1


def test_trailer_of_a_chunked_body_is_not_read_as_a_header(client: HttpClient) -> None:
    with client.raw() as connection:
        connection.sendall(head("POST", INGEST, "Content-Type: application/json", "Transfer-Encoding: chunked"))
        connection.sendall(b"2\r\n[]\r\n0\r\n" + f"x-api-key: {client.key}\r\n\r\n".encode())
        assert status_and_body(connection)[0] == 401


def test_pipelined_requests_are_answered_in_order(client: HttpClient) -> None:
    with client.raw() as connection:
        connection.sendall(head("GET", "/healthz") + head("GET", "/api/v1/nothing", "Connection: close"))
        got = b""
        while part := connection.recv(65536):
            got += part
    assert re.findall(rb"HTTP/1.1 (\d+)", got) == [b"200", b"404"]


def statuses(connection: socket.socket) -> list[bytes]:
    """Returns the statuses of all answers until the connection ends."""
    got = b""
    while part := connection.recv(65536):
        got += part
    return re.findall(rb"HTTP/1.1 (\d+)", got)


def test_many_pipelined_requests_are_all_answered_in_order(client: HttpClient) -> None:
    with client.raw() as connection:
        pairs = head("GET", "/healthz") + head("GET", "/api/v1/nothing")
        connection.sendall(pairs * 400 + head("GET", "/healthz", "Connection: close"))
        assert statuses(connection) == [b"200", b"404"] * 400 + [b"200"]


def test_request_may_begin_in_the_packet_that_ends_the_one_before(client: HttpClient) -> None:
    body = json.dumps(record(data={"t": "x" * 300_000})).encode()
    second = head("GET", "/api/v1/nothing", "Connection: close")
    with client.raw() as connection:
        connection.sendall(client.opening(f"Content-Length: {len(body)}") + body + second[:30])
        assert b" 202 " in answer_of(connection).split(b"\r\n")[0]
        connection.sendall(second[30:])
        assert statuses(connection) == [b"404"]


@pytest.mark.parametrize(
    ("before", "endless"),
    [
        (b"2\r\n[]\r\n0\r\nX: ", b"a"),
        (b"2\r\n[]\r\n0\r\n", b"a: b\r\n"),
        (b"2;", b"a"),
        (b"", b"1;" + b"a" * 100 + b"\r\n \r\n"),
    ],
)
def test_chunk_extensions_and_trailers_are_limited(client: HttpClient, before: bytes, endless: bytes) -> None:
    with client.raw() as connection:
        connection.sendall(client.opening("Transfer-Encoding: chunked") + before)
        connection.sendall(endless * (100_000 // len(endless)))
        assert status_and_body(connection)[0] == 400
        assert connection.recv(1) == b""


def test_endless_trailers_delay_no_other_request(client: HttpClient, new_front: Callable[..., Front]) -> None:
    front = new_front()
    held = [front.raw() for _ in range(20)]
    for connection in held:
        connection.sendall(client.opening("Transfer-Encoding: chunked") + b"2\r\n[]\r\n0\r\nX: ")
    limit = 256 * MIB
    for connection in held:
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < limit:
                connection.sendall(b"a" * MIB)
                sent += MIB
        assert sent < limit
    assert front.answers()
    for connection in held:
        connection.close()


def test_chunks_of_one_byte_are_accepted(client: HttpClient) -> None:
    body = json.dumps(record(data={"t": "x" * 30_000})).encode()
    chunks = b"".join(b"00000001\r\n%c\r\n" % byte for byte in body)
    with client.raw() as connection:
        connection.sendall(client.opening("Transfer-Encoding: chunked") + chunks + b"0\r\nX: y\r\n\r\n")
        assert b" 202 " in answer_of(connection).split(b"\r\n")[0]


@pytest.mark.parametrize("coding", ["gzip, chunked", "gzip", "chunked, gzip", "chunked\r\nTransfer-Encoding: chunked"])
def test_transfer_coding_other_than_chunked_is_rejected(client: HttpClient, coding: str) -> None:
    with client.raw() as connection:
        connection.sendall(client.opening(f"Transfer-Encoding: {coding}") + b"2\r\n[]\r\n0\r\n\r\n")
        status, body = status_and_body(connection)
    assert (status, body["error"]) == (400, "INVALID_BODY")


def test_url_may_hold_unescaped_utf_8(client: HttpClient) -> None:
    client.settled(client.send(record(thread_id="é")))
    with client.raw() as connection:
        connection.sendall(head("GET", "/api/v1/records?thread_id=é", f"x-api-key: {client.key}"))
        status, body = status_and_body(connection)
    assert status == 200
    assert len(body["records"]) == 1


@pytest.mark.parametrize("method", ["FOO", "PLAY", "PROPFIND", "GETX", "post", "Get"])
def test_unknown_method_gets_a_405_that_lists_the_allowed_ones(client: HttpClient, method: str) -> None:
    with client.raw() as connection:
        connection.sendall(head(method, INGEST, f"x-api-key: {client.key}"))
        top, _, body = answer_of(connection).partition(b"\r\n\r\n")
        assert json.loads(body)["error"] == "METHOD_NOT_ALLOWED"
        assert top.startswith(b"HTTP/1.1 405") and b"allow: POST" in top
        connection.sendall(head("GET", "/healthz"))
        assert status_and_body(connection)[0] == 200


def test_connection_reset_with_pending_answers_logs_no_error(
    client: HttpClient, new_front: Callable[..., Front]
) -> None:
    front = new_front()
    lines: list[str] = []
    front.child._output = lines.append
    for _ in range(20):
        connection = front.raw()
        connection.sendall(head("GET", "/api/v1/records", f"x-api-key: {client.key}") * 20)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    for _ in range(3):
        assert front.client(client).get("/api/v1/records").status_code == 200
    front.child.stop()
    assert front.child.wait(120)
    assert lines
    assert not [line for line in lines if "Traceback" in line or "front_failed" in line]


def test_streamed_answer_with_a_length_keeps_its_connection(client: HttpClient) -> None:
    with client.raw() as connection:
        for _ in range(2):
            connection.sendall(head("GET", "/llms.txt"))
            got = answer_of(connection)
            assert got.startswith(b"HTTP/1.1 200") and b"connection: close" not in got


def test_answer_to_http_1_0_is_not_chunked_and_closes_the_connection(client: HttpClient) -> None:
    client.settled(client.send(record()))
    asked = head("GET", "/api/v1/records", f"x-api-key: {client.key}", "Accept: application/x-ndjson")
    with client.raw() as connection:
        connection.sendall(asked.replace(b"HTTP/1.1", b"HTTP/1.0"))
        top, _, body = answer_of(connection).partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.1 200") and b"transfer-encoding" not in top
    assert [json.loads(line) for line in body.splitlines()]


def test_upgrade_to_http_2_is_ignored(client: HttpClient) -> None:
    body = json.dumps(record()).encode()
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
    with client.raw() as connection:
        connection.sendall(client.opening(*offer, f"Content-Length: {len(body)}") + body)
        assert b" 202 " in answer_of(connection).split(b"\r\n")[0]


@pytest.mark.parametrize(
    "sent",
    [b"hello\r\n\r\n", b"GET /healthz HTTP/1.1\r\nno colon\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
     b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1000 + b"\r\n", b"GET / HTTP/1.1\r\na: " + b"b" * 2 * MIB],
)  # fmt: skip
def test_malformed_or_oversized_head_is_rejected_in_the_documented_shape(client: HttpClient, sent: bytes) -> None:
    with client.raw() as connection:
        try:
            connection.sendall(sent)
        except ConnectionError:
            return  # the server closed the connection
        got = answer_of(connection)
    assert not got or (got.startswith(b"HTTP/1.1 4") and json.loads(got.partition(b"\r\n\r\n")[2])["error"])


def test_unfinished_head_is_rejected_after_the_timeout(new_front: Callable[..., Front]) -> None:
    front = new_front(EVERMUSE_HEAD_TIMEOUT_SECONDS="1")
    with front.raw() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        status, body = status_and_body(connection)
    assert (status, body["message"]) == (400, "The head of the request did not arrive in time.")


def test_idle_connection_is_closed_after_the_configured_time(new_front: Callable[..., Front]) -> None:
    front = new_front(EVERMUSE_KEEP_ALIVE_SECONDS="2")
    with front.raw() as connection:
        for _ in range(2):
            connection.sendall(head("GET", "/healthz"))
            assert status_and_body(connection)[0] == 200
        assert connection.recv(1) == b""


def test_connection_limit_applies_to_each_client_address(new_front: Callable[..., Front]) -> None:
    front = new_front(EVERMUSE_CONNECTIONS_PER_ADDRESS="3")
    until(lambda: front.answers(), "earlier connections are closed")
    held = [front.raw() for _ in range(3)]
    with front.raw() as fourth:
        status, body = status_and_body(fourth)
        assert (status, body["error"], body["retryAfter"]) == (503, "UNAVAILABLE", 5)
    with front.raw(source="127.0.0.2") as neighbour:
        neighbour.sendall(head("GET", "/healthz"))
        assert status_and_body(neighbour)[0] == 200
    for connection in held:
        connection.close()
    until(front.answers, "there is room for a connection again")


def test_clients_behind_a_proxy_are_distinguished_by_its_last_forwarded_address(
    client: HttpClient, new_front: Callable[..., Front]
) -> None:
    front = new_front(EVERMUSE_TRUSTED_PROXIES="127.0.0.0/8", EVERMUSE_CONNECTIONS_PER_ADDRESS="2")
    key, length = f"x-api-key: {client.key}", "Content-Length: 3000000"
    stalled = [front.raw() for _ in range(2)]
    for connection in stalled:
        connection.sendall(
            head("POST", INGEST, key, length, "Content-Type: application/json", "X-Forwarded-For: 9.9.9.9")
        )
        connection.sendall(b" ")

    def status_for(forwarded: str) -> int:
        with front.raw() as connection:
            connection.sendall(head("GET", "/healthz", f"X-Forwarded-For: {forwarded}"))
            return status_and_body(connection)[0]

    until(lambda: status_for("9.9.9.9") == 503, "both requests of 9.9.9.9 are counted")
    assert status_for("8.8.8.8, 9.9.9.9, 127.0.0.9") == 503
    assert status_for("9.9.9.9, 8.8.8.8") == 200
    for connection in stalled:
        connection.close()


def test_killed_web_worker_is_replaced_and_a_killed_parent_leaves_no_worker(new_front: Callable[..., Front]) -> None:
    front = new_front(workers="2")
    until(lambda: len(front.workers()) == 2, "two workers")
    first = front.workers()
    os.kill(first[0], signal.SIGKILL)
    until(lambda: len(front.workers()) == 2 and first[0] not in front.workers(), "the killed worker is replaced")
    left, parent = front.workers(), front.pid()
    front.child._stopping.set()  # so that only the workers themselves can end
    os.kill(parent, signal.SIGKILL)
    until(lambda: not any(lives(pid) for pid in left), "the workers end with their parent")
