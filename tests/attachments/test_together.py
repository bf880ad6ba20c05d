"""One statement for the questions of several threads: each gets its own answer, and nobody is left waiting."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from attachments.queue.together import Together


class Held:
    """A work whose first call waits until it is let go; notes what each call was asked."""

    def __init__(self, *, broken_by: int | None = None) -> None:
        self.calls: list[list[int]] = []
        self.has_begun, self.go_on = threading.Event(), threading.Event()
        self._broken_by = broken_by

    def __call__(self, questions: Sequence[int]) -> list[int]:
        self.calls.append(list(questions))
        if len(self.calls) == 1:
            self.has_begun.set()
            assert self.go_on.wait(30)
        if self._broken_by in questions:
            raise ConnectionError("gone")
        return [-question for question in questions]


def waiting(together: Together[int, int], count: int) -> None:
    """Return once so many questions wait behind the one under way."""
    pause = threading.Event()
    for _ in range(3000):
        if len(together._waiting) == count:
            return
        pause.wait(0.01)
    raise AssertionError(f"{len(together._waiting)} wait, not {count}")


def test_a_thread_alone_is_served_alone() -> None:
    held = Held()
    held.go_on.set()
    together = Together(held)
    assert ([together.ask(n) for n in range(3)], held.calls) == ([0, -1, -2], [[0], [1], [2]])


def test_who_asks_meanwhile_is_served_together_and_each_gets_its_own_answer() -> None:
    held = Held()
    together = Together(held, at_most=4)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(together.ask, 100)
        assert held.has_begun.wait(30)
        others = [pool.submit(together.ask, n) for n in range(1, 7)]
        waiting(together, 6)
        held.go_on.set()
        assert first.result(30) == -100
        assert [other.result(30) for other in others] == [-1, -2, -3, -4, -5, -6]
    assert [len(call) for call in held.calls] == [1, 4, 2]


def test_an_error_reaches_those_it_concerns_and_the_next_are_served() -> None:
    held = Held(broken_by=1)
    together = Together(held, at_most=2)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(together.ask, 100)
        assert held.has_begun.wait(30)
        others = []
        for n in range(1, 5):
            others.append(pool.submit(together.ask, n))
            waiting(together, n)
        held.go_on.set()
        assert first.result(30) == -100
        for broken in others[:2]:
            with pytest.raises(ConnectionError):
                broken.result(30)
        assert [other.result(30) for other in others[2:]] == [-3, -4]
    assert together.ask(7) == -7
