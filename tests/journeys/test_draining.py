"""Waiting for a backlog: a slow machine is given the time it needs, and a batch that is stuck is noticed."""

import itertools
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tests.journeys import deployment
from tests.journeys.deployment import drain


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is a second later than the last."""
    time = SimpleNamespace(monotonic=itertools.count(0.0).__next__, sleep=lambda seconds: None)
    monkeypatch.setattr(deployment, "time", time)


def counts(*numbers: int) -> Callable[[], int]:
    """Returns the numbers one after the other, and the last one again and again."""
    left = list(numbers)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def test_backlog_that_shrinks_slowly_is_waited_for(clock: None) -> None:
    drain(counts(*range(1000, -1, -1)), "a backlog", seconds=10)


def test_batch_that_is_never_settled_is_named(clock: None) -> None:
    with pytest.raises(AssertionError, match="3 batches are stuck: a backlog"):
        drain(counts(9, 5, 3, 4, 3), "a backlog", seconds=10)
