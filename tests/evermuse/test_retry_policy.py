"""Retry policies: their waits, and which policies are rejected."""

import itertools
import re
from pathlib import Path

import pytest

from evermuse import retry_policy
from evermuse.retry_policy import RetryPolicy


def test_retry_waits_grow_by_the_factor_up_to_the_maximum() -> None:
    policy = RetryPolicy(first=1, longest=20, factor=3)
    assert [policy.wait(attempts) for attempts in (1, 2, 3, 4, 100_000)] == [1, 3, 9, 20, 20]


def test_policy_gives_no_retry_after_the_last_attempt_or_beyond_the_window() -> None:
    policy = RetryPolicy(first=1, longest=20, max_attempts=3, window=60)
    assert [policy.wait(attempts, elapsed=5) for attempts in (1, 2, 3)] == [1, 2, None]
    assert policy.wait(2, elapsed=59) is None


def test_retry_after_of_a_server_is_honoured_up_to_a_limit() -> None:
    policy = RetryPolicy(first=1, longest=20, longest_asked=60, window=100)
    assert policy.wait(1, asked=30) == 30
    assert policy.wait(1, asked=86_400) == 60
    assert policy.wait(1, asked=86_400, elapsed=70) == 30


def test_no_policy_waits_longer_than_the_furthest_time() -> None:
    policy = RetryPolicy(first=1, longest=20, jitter=0.5, longest_asked=25)
    waits = [policy.wait(attempts) or 0 for attempts in itertools.islice(itertools.cycle(range(1, 9)), 800)]
    assert 20 < max(waits) <= policy.furthest == 30
    assert retry_policy.furthest(policy, RetryPolicy(first=1, longest=45)) == 45


def test_span_of_a_policy_is_the_sum_of_its_longest_waits() -> None:
    policy = RetryPolicy(first=1, longest=20, factor=3, jitter=0.5, max_attempts=5)
    assert policy.span == (1 + 3 + 9 + 20) * 1.5
    assert RetryPolicy(first=1, longest=20, max_attempts=1).span == 0
    assert RetryPolicy(first=1, longest=1, max_attempts=1001).span == 1000


@pytest.mark.parametrize(
    "wrong", [{"first": 0.0}, {"first": 9.0, "longest": 8.0}, {"factor": 0.5}, {"jitter": 1.0}, {"jitter": -0.1}]
)
def test_contradictory_retry_policy_is_rejected_at_its_definition(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"first \(|factor must be"):
        RetryPolicy(**{"first": 1.0, "longest": 8.0, **wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["_DOWNLOADS", "DOWNLOAD_STORE", "DOWNLOAD_CRASH"])
def test_longer_wait_of_a_file_is_not_taken_for_a_wrong_clock(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweeper starts a file at once if its next attempt is further ahead than the longest wait."""
    monkeypatch.setattr(retry_policy, name, RetryPolicy(first=7200.0, longest=7200.0))
    assert retry_policy.furthest_download() >= 7200


def test_every_wait_between_attempts_is_in_the_module_of_retry_policies() -> None:
    """A backoff elsewhere would double its waits itself."""
    root = Path(retry_policy.__file__).parents[1]
    files = [
        path for package in ("ingest", "attachments", "lake", "evermuse") for path in (root / package).rglob("*.py")
    ]
    server = [path for path in files if "client" not in path.parts and path.name != "retry_policy.py"]
    assert [
        str(path)
        for path in server
        if re.search(r"wait = min\(|wait \*= |(?:FIRST|LONGEST)_WAIT_SECONDS", path.read_text())
    ] == []
