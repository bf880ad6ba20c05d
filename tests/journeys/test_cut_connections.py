"""Requests after PostgreSQL, a pooler or a firewall has ended the idle connections of web."""

import requests

from tests.journeys.stack import Stack

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
