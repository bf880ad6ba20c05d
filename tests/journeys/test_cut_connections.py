"""Requests after PostgreSQL, a pooler or a firewall has ended the idle connections of web."""

from concurrent.futures import ThreadPoolExecutor

import requests

from tests.journeys.client import HttpClient
from tests.journeys.stack import Stack
from tests.records import record

# So that all threads of all processes get their turns.
ROUNDS = 12


def statuses(url: str) -> set[tuple[str, int]]:
    """Path and status of requests that have no API key, whose lookup would find an ended connection."""
    found = set()
    for _ in range(ROUNDS):
        for path in ("/admin/", "/metrics"):
            # The admin looks for the session in PostgreSQL.
            answer = requests.get(
                f"{url}{path}", cookies={"sessionid": "x" * 32}, allow_redirects=False, timeout=30
            )  # fmt: skip
            found.add((path, answer.status_code))
    return found


def test_no_page_fails_because_the_connection_of_its_thread_has_ended(stack: Stack) -> None:
    good = {("/admin/", 302), ("/metrics", 200)}
    assert statuses(stack.url) == good
    stack.cut_connections()
    assert statuses(stack.url) == good


def lines_of_exports(client: HttpClient) -> list[int]:
    """How many lines exports have, which each thread of web reads some of."""

    def count(_: int) -> int:
        headers = {"x-api-key": client.key, "Accept": "application/x-ndjson"}
        return len(requests.get(f"{client.url}/api/v1/records", headers=headers, timeout=60).content.splitlines())

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(count, range(4 * ROUNDS)))


def test_no_export_is_cut_off_because_the_connection_of_its_thread_has_ended(stack: Stack, client: HttpClient) -> None:
    client.settled(client.send(record()))
    assert set(lines_of_exports(client)) == {1}
    stack.cut_connections()
    assert set(lines_of_exports(client)) == {1}
