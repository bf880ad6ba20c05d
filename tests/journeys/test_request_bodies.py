"""Bodies over real sockets: only complete ones are accepted, and a stalled client delays no other."""

import gzip
import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import requests

from tests.journeys.client import HttpClient, answer_of
from tests.journeys.front import head
from tests.journeys.stack import BODY_SECONDS, Stack, at_once, until
from tests.records import record

MIB = 1024 * 1024


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


def test_chunked_body_is_read_to_its_end(client: HttpClient) -> None:
    lines = [json.dumps(record()).encode() + b"\n" for _ in range(50)]
    answer = client.post(iter(lines), content_type="application/x-ndjson")
    assert (answer.status_code, answer.json()["acceptedCount"]) == (202, 50)


@pytest.mark.parametrize("name", ["é", "\U000c8250"])
def test_path_with_other_letters_is_found_or_not_however_the_body_arrives(client: HttpClient, name: str) -> None:
    url = f"{client.url}/api/v1/ingest/batches/{quote(name)}/attachments/{quote(name)}"
    body = b'{"vendor_url": "https://files.example/a"}'
    headers = {**client.headers, "Content-Type": "application/json"}
    answers = [requests.patch(url, data=data, headers=headers, timeout=60) for data in (body, iter([body]))]
    assert [(answer.status_code, answer.json()["error"]) for answer in answers] == [(404, "NOT_FOUND")] * 2


def test_truncated_chunked_body_stores_no_batch(client: HttpClient) -> None:
    whole_line = json.dumps(record()).encode() + b"\n"
    with client.raw() as connection:
        connection.sendall(client.opening("Transfer-Encoding: chunked", content_type="application/x-ndjson"))
        connection.sendall(chunked(whole_line, whole_line))
        connection.shutdown(socket.SHUT_WR)
        got = answer_of(connection)
        assert not got or (b" 400 " in got.split(b"\r\n")[0] and b"INVALID_BODY" in got)
    assert client.batch_ids() == []


def test_chunked_body_of_a_reset_connection_stores_no_batch(client: HttpClient) -> None:
    with client.raw() as connection:
        connection.sendall(client.opening("Transfer-Encoding: chunked", content_type="application/x-ndjson"))
        connection.sendall(chunked(json.dumps(record()).encode() + b"\n"))
    client.send(record())
    assert len(client.batch_ids()) == 1


def test_body_shorter_than_its_content_length_stores_no_batch(client: HttpClient) -> None:
    body = json.dumps(record()).encode()
    with client.raw() as connection:
        connection.sendall(client.opening(f"Content-Length: {len(body) + 10}") + body)
        connection.shutdown(socket.SHUT_WR)
        got = answer_of(connection)
        assert not got or (b" 400 " in got.split(b"\r\n")[0] and b"INVALID_BODY" in got)
    assert client.batch_ids() == []


def endless() -> Iterator[bytes]:
    yield b"["
    while True:
        yield b" " * 65536


def test_chunked_body_over_the_limit_is_rejected_before_its_end(client: HttpClient) -> None:
    with client.raw() as connection:
        connection.sendall(client.opening("Transfer-Encoding: chunked"))
        sent = 0
        try:
            for part in endless():
                connection.sendall(chunked(part))
                sent += len(part)
                if sent > 20 * MIB:
                    break
        except ConnectionError:
            pass  # the server closed the connection; its answer may still arrive
        got = answer_of(connection)
    assert not got or (b" 413 " in got.split(b"\r\n")[0] and b"PAYLOAD_TOO_LARGE" in got)
    assert client.batch_ids() == []


@pytest.mark.parametrize(("extra", "status"), [(0, 202), (1, 413)])
def test_body_of_five_megabytes_is_accepted_and_one_byte_more_is_not(
    client: HttpClient, extra: int, status: int
) -> None:
    body = json.dumps(record()).encode()
    body += b" " * (5 * MIB - len(body) + extra)
    assert client.post(body).status_code == status
    assert client.post(iter([body])).status_code == status


def test_gzip_bomb_is_rejected(client: HttpClient) -> None:
    bomb = gzip.compress(b"[" + b" " * (200 * MIB), 9)
    answer = client.post(bomb, Content_Encoding="gzip")
    assert (answer.status_code, answer.json()["error"]) == (413, "PAYLOAD_TOO_LARGE")


def test_clients_that_stall_during_their_body_delay_no_other_request(client: HttpClient, stack: Stack) -> None:
    body, began = json.dumps(record()).encode(), time.monotonic()
    at_once([lambda: client.post(record()) for _ in range(30)])
    # Less than web's time-out for the stalled bodies, unless the machine is loaded and requests take long anyway.
    limit = BODY_SECONDS - 1 + 2 * (time.monotonic() - began)
    stalled = [client.raw() for _ in range(64)]
    for connection in stalled:
        connection.sendall(client.opening(f"Content-Length: {len(body)}") + body[:20])
    answers = at_once([lambda: client.post(record(), timeout=limit) for _ in range(30)])
    assert {answer.status_code for answer in answers} == {202}
    for connection in stalled:
        assert b"did not arrive in time" in answer_of(connection)
        connection.close()
    assert len(client.batch_ids()) == 60


def test_client_that_stalls_during_its_head_delays_no_other_request(client: HttpClient) -> None:
    limit = client.limit(BODY_SECONDS - 1)
    stalled = [client.raw() for _ in range(64)]
    for connection in stalled:
        connection.sendall(client.opening("Content-Length: 10")[:-10])
    assert client.post(record(), timeout=limit).status_code == 202
    for connection in stalled:
        connection.close()


@pytest.mark.parametrize(
    "data",
    [
        '{"a": "\\u0000"}',
        '{"n": 1e400, "m": 1.0, "k": 1234567890123456789012345678901234567890}',
        '{"k": 1, "k": 2, "": {"k": 3, "k": 4}}',
        '{"lone": "\\ud800", "pair": "\\ud83d\\ude00"}',
        '{"line": "\u2028", "next": "\u0085"}',
        '{"deep": ' + "[" * 3000 + "]" * 3000 + "}",
    ],
)
def test_data_of_a_record_is_returned_as_it_was_sent(client: HttpClient, stack: Stack, data: str) -> None:
    body = json.dumps(record(data={"here": 1})).replace('{"here": 1}', data).encode()
    batch_id = client.send(body + b"\n" + body, content_type="application/x-ndjson")
    until(lambda: client.batch(batch_id)["status"] == "COMPLETE", "the batch is complete")
    content = client.get("/api/v1/records").content
    assert b'"data":' + data.encode() in content
    assert content.count(b'"recordId"') == 1


FORM = ("Content-Type: application/x-www-form-urlencoded", "Cookie: csrftoken=" + "a" * 32, "Connection: close")


def test_form_that_is_too_large_or_late_gets_a_page_that_says_so(client: HttpClient) -> None:
    with client.raw() as late, client.raw() as large:
        late.sendall(head("POST", "/admin/login/", *FORM, "Content-Length: 100") + b"username=")
        large.sendall(head("POST", "/admin/login/", *FORM, "Transfer-Encoding: chunked"))
        for _ in range(6):
            large.sendall(chunked(b"a" * MIB))
        assert answer_of(large).startswith(b"HTTP/1.1 413")
        assert answer_of(late).startswith(b"HTTP/1.1 408")
