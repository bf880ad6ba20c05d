"""Readers that pause, over real sockets: they delay no other reader, can resume, and are visibly cut off in the end."""

import contextlib
import json
import select
import socket
from collections.abc import Callable

import pytest

from tests.journeys.client import INGEST, HttpClient, answer_of
from tests.journeys.front import Front, head, new_front, status_and_body, to_the_end
from tests.journeys.stack import Stack, until
from tests.records import record

__all__ = ["new_front"]
RECORDS = "/api/v1/records"
# More than the kernel buffers for a loopback connection.
COUNT, SIZE = 16, 1_000_000
LAST_CHUNK = b"\r\n0\r\n\r\n"


@pytest.fixture
def filled(client: HttpClient) -> HttpClient:
    """A client whose workspace has 16 MB of records."""
    ids = []
    for _ in range(COUNT // 4):
        lines = [json.dumps(record(data={"t": "z" * SIZE})) for _ in range(4)]
        ids.append(client.send("\n".join(lines), content_type="application/x-ndjson"))
    for batch_id in ids:
        client.settled(batch_id)
    return client


def paused(front: Front, client: HttpClient, path: str = RECORDS, *lines: str) -> socket.socket:
    """Opens a stream and reads only its first bytes."""
    connection = front.raw(receive_buffer=4096)
    wanted = lines or ("Accept: application/x-ndjson",)
    connection.sendall(head("GET", path, f"x-api-key: {client.key}", *wanted))
    assert connection.recv(12) == b"HTTP/1.1 200"
    return connection


def test_paused_readers_delay_no_other_request_and_resume(filled: HttpClient, new_front: Callable[..., Front]) -> None:
    # Two threads for reads and room for one answer: a reader that occupied either would block the next one.
    front = new_front(
        EVERMUSE_WEB_THREADS="1", EVERMUSE_WEB_READ_THREADS="1", EVERMUSE_ANSWER_BUDGET_BYTES=str(8 * 1024 * 1024)
    )
    client = front.client(filled)
    limit = client.limit(5)
    readers = [paused(front, client) for _ in range(4)]
    readers.append(paused(front, client, f"{RECORDS}?limit=100", "Accept: application/json"))
    assert client.post(record(), timeout=limit).status_code == 202
    assert client.get(f"{INGEST}/batches").status_code == 200
    assert front.answers()
    for reader in readers[:4]:
        got = to_the_end(reader)
        assert got.endswith(LAST_CHUNK)
        assert got.count(b'"recordId"') >= COUNT
        reader.close()
    readers[4].close()


# More answers of 50 kB than a connection's buffers hold, but fewer than MAX_PIPELINED, so that every request could be
# read at once.
UNREAD = 60


def test_clients_that_read_no_answers_do_not_block_other_readers(
    stack: Stack, client: HttpClient, new_front: Callable[..., Front]
) -> None:
    front = new_front(EVERMUSE_WEB_READ_THREADS="1", EVERMUSE_ANSWER_BUDGET_BYTES=str(8 * 1024 * 1024))
    # The answer is too small to be put in a file.
    client.settled(client.send(record(data={"t": "z" * 50_000})))
    request = head("GET", f"{RECORDS}?limit=1", f"x-api-key: {client.key}")
    unread = [front.raw(receive_buffer=2048) for _ in range(4)]
    neighbour = front.client(stack.new_client())
    for _ in range(UNREAD):
        for connection in unread:
            connection.sendall(request)
        assert neighbour.get(RECORDS, limit=1).status_code == 200
    assert neighbour.get(f"{INGEST}/batches").status_code == 200
    for connection in unread:
        connection.close()


def test_client_that_reads_none_of_its_answers_is_disconnected(
    client: HttpClient, new_front: Callable[..., Front]
) -> None:
    front = new_front(EVERMUSE_READER_PAUSE_SECONDS="1")
    client.settled(client.send(record(data={"t": "z" * 50_000})))
    request = head("GET", f"{RECORDS}?limit=1", f"x-api-key: {client.key}")
    neighbour = front.client(client)
    with front.raw(receive_buffer=2048) as connection:
        place = connection.getsockname()[1]
        with contextlib.suppress(ConnectionError):
            for _ in range(UNREAD):
                connection.sendall(request)
                assert neighbour.get(RECORDS, limit=1).status_code == 200
        until(lambda: not front.connections(place), "the connection is closed")


def test_static_file_keeps_its_connection_open(new_front: Callable[..., Front]) -> None:
    with new_front().raw() as connection:
        for _ in range(2):
            connection.sendall(head("GET", "/static/ingest/icon.svg"))
            top, _, content = answer_of(connection).partition(b"\r\n\r\n")
            assert top.startswith(b"HTTP/1.1 200")
            assert b"connection: close" not in top.lower()
            assert content


def test_announced_but_unsent_bodies_take_no_room_from_others(
    stack: Stack, client: HttpClient, new_front: Callable[..., Front]
) -> None:
    front = new_front(EVERMUSE_BODY_BUDGET_BYTES=str(8 * 1024 * 1024), EVERMUSE_BODY_TIMEOUT_SECONDS="30")
    keys = [stack.new_client().key for _ in range(3)]
    stalled = []
    for number in range(12):
        connection = front.raw()
        connection.sendall(head("POST", INGEST, f"x-api-key: {keys[number % 3]}", "Content-Type: application/json",
                                "Content-Length: 4000000") + b" " * 10)  # fmt: skip
        stalled.append(connection)
    body = json.dumps(record(data={"t": "x" * 5_000_000})).encode()
    for _ in range(3):
        assert front.client(client).post(body).status_code == 202
    for connection in stalled:
        connection.close()


def test_stream_of_a_reader_that_pauses_too_long_ends_without_its_last_chunk(
    stack: Stack, filled: HttpClient, new_front: Callable[..., Front]
) -> None:
    front = new_front(EVERMUSE_READER_PAUSE_SECONDS="1")
    reader = paused(front, filled)
    until(lambda: not _streams(stack, filled), "the stream has ended")
    got = to_the_end(reader)
    assert not got.endswith(LAST_CHUNK)
    reader.close()


def test_http_1_0_stream_that_is_cut_off_ends_with_a_reset(
    stack: Stack, filled: HttpClient, new_front: Callable[..., Front]
) -> None:
    front = new_front(EVERMUSE_READER_PAUSE_SECONDS="1")
    asked = head("GET", RECORDS, f"x-api-key: {filled.key}", "Accept: application/x-ndjson")
    with front.raw(receive_buffer=4096) as reader:
        reader.sendall(asked.replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert reader.recv(12) == b"HTTP/1.1 200"
        until(lambda: not _streams(stack, filled), "the stream has ended")
        with pytest.raises(ConnectionResetError):
            while reader.recv(65536):
                pass


def _streams(stack: Stack, client: HttpClient, kind: str = "streams") -> object:
    """Returns Redis's entries of a key's streams. Those of other tests stay for a while after their web process is killed."""
    [(number,)] = stack.rows(
        "SELECT k.id FROM ingest_apikey k JOIN ingest_workspace w ON w.id = k.workspace_id WHERE w.name = %s",
        client.workspace,
    )
    return stack.rates().zrange(f"evermuse:{kind}:key {number}", 0, -1)


def test_stream_ends_at_its_deadline(stack: Stack, filled: HttpClient, new_front: Callable[..., Front]) -> None:
    front = new_front(EVERMUSE_STREAM_SECONDS="1")
    reader = paused(front, filled)
    until(lambda: not _streams(stack, filled), "the stream has ended")
    assert not to_the_end(reader).endswith(LAST_CHUNK)
    reader.close()


def test_key_has_at_most_four_streams_over_all_web_processes(
    filled: HttpClient, new_front: Callable[..., Front], stack: Stack
) -> None:
    fronts = [new_front(), new_front()]
    readers = [paused(fronts[number % 2], filled) for number in range(4)]
    with fronts[0].raw() as fifth:
        fifth.sendall(head("GET", RECORDS, f"x-api-key: {filled.key}", "Accept: application/x-ndjson"))
        status, body = status_and_body(fifth)
    assert (status, body["error"], body["retryAfter"]) == (429, "RATE_LIMITED", 5)
    neighbour = stack.new_client()
    paused(fronts[0], neighbour).close()
    assert to_the_end(readers[1]).endswith(LAST_CHUNK)
    again = paused(fronts[0], filled)
    for reader in [*readers, again]:
        reader.close()


def test_exactly_four_of_many_simultaneous_streams_are_opened(
    filled: HttpClient, new_front: Callable[..., Front]
) -> None:
    front = new_front(workers="2")
    asked = head("GET", RECORDS, f"x-api-key: {filled.key}", "Accept: application/x-ndjson")
    readers = []
    for _ in range(16):
        readers.append(front.raw(receive_buffer=4096))
        readers[-1].sendall(asked)
    opened = [number for number in range(16) if readers[number].recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"]
    answers = [status_and_body(readers[number]) for number in range(16) if number not in opened]
    assert [(status, body["error"], body["retryAfter"]) for status, body in answers] == [(429, "RATE_LIMITED", 5)] * 12
    # Two web processes read the requests, so any four of them may be the first.
    assert len(opened) == 4
    for number in opened:
        assert to_the_end(readers[number]).endswith(LAST_CHUNK)
    for reader in readers:
        reader.close()


def test_stream_is_opened_as_soon_as_one_of_four_ends(filled: HttpClient, new_front: Callable[..., Front]) -> None:
    fronts = [new_front(), new_front()]
    readers = [paused(fronts[number % 2], filled) for number in range(4)]
    asked = head("GET", RECORDS, f"x-api-key: {filled.key}", "Accept: application/x-ndjson")
    with fronts[0].raw() as waiting:
        waiting.sendall(asked)
        readers[1].close()
        assert to_the_end(waiting).startswith(b"HTTP/1.1 200")
    with fronts[0].raw() as following:
        to_the_end(readers[2])
        following.sendall(asked)
        assert to_the_end(following).startswith(b"HTTP/1.1 200")
    for reader in readers:
        reader.close()


def test_client_that_disconnects_while_its_stream_waits_uses_no_slot(
    stack: Stack, filled: HttpClient, new_front: Callable[..., Front]
) -> None:
    front = new_front()
    readers = [paused(front, filled) for _ in range(4)]
    for _ in range(3):
        with front.raw() as waiting:
            waiting.sendall(head("GET", RECORDS, f"x-api-key: {filled.key}", "Accept: application/x-ndjson"))
    for reader in readers:
        reader.close()
    until(lambda: not _streams(stack, filled), "no stream is open")
    until(lambda: not _streams(stack, filled, "waiting-streams"), "no request waits for a stream")


def test_unfinished_bodies_are_dropped_for_the_body_of_another_client(
    stack: Stack, client: HttpClient, new_front: Callable[..., Front]
) -> None:
    front = new_front(EVERMUSE_BODY_BUDGET_BYTES=str(8 * 1024 * 1024), EVERMUSE_BODY_TIMEOUT_SECONDS="30")
    hog = stack.new_client()
    stalled = []
    for _ in range(4):
        connection = front.raw()
        connection.sendall(head("POST", INGEST, f"x-api-key: {hog.key}", "Content-Type: application/json",
                                "Content-Length: 4000000"))  # fmt: skip
        connection.sendall(b" " * 3_900_000)
        stalled.append(connection)
    # Two of the bodies fit; the others are rejected.
    until(lambda: len(_readable(stalled)) >= 2, "two bodies are rejected")
    refused = _readable(stalled)
    assert len(refused) == 2
    for connection in refused:
        status, answer = status_and_body(connection)
        assert (status, answer["error"], answer["retryAfter"]) == (503, "UNAVAILABLE", 2)
    # The two that fit are dropped for the bodies of another client.
    body = json.dumps(record(data={"t": "x" * 3_000_000})).encode()
    assert front.client(client).post(body).status_code == 202
    assert front.client(client).post(record()).status_code == 202
    for connection in stalled:
        connection.close()


def _readable(connections: list[socket.socket]) -> list[socket.socket]:
    """Returns those of the connections that have an answer or have been closed."""
    return select.select(connections, [], [], 0)[0]
