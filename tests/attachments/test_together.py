"""Together answers the questions of several threads in one call; each thread gets its own answer."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from attachments.queue.together import Together


class Held:
    """Work whose first call waits until it is released; records the questions of each call."""

    def __init__(self, *, broken_by: int | None = None) -> None:
        self.calls: list[list[int]] = []
        self.has_begun, self.go_on = threading.Event(), threading.Event()
        self._broken_by = broken_by

    def __call__(self, questions: Sequence[int]) -> list[int]:
        self.calls.append(list(questions))
        if len(self.calls) == 1:
            self.has_begun.set()
            assert self.go_on.wait(120)
        if self._broken_by in questions:
            raise ConnectionError("gone")
        return [-question for question in questions]


def waiting(together: Together[int, int], count: int) -> None:
    """Returns once this many questions wait behind the running call."""
    pause = threading.Event()
    for _ in range(3000):
        if len(together._waiting) == count:
            return
        pause.wait(0.01)
    raise AssertionError(f"{len(together._waiting)} wait, not {count}")


def test_single_thread_is_answered_at_once() -> None:
    held = Held()
    held.go_on.set()
    together = Together(held)
    assert ([together.ask(n) for n in range(3)], held.calls) == ([0, -1, -2], [[0], [1], [2]])


def test_questions_asked_during_a_call_are_answered_together() -> None:
    held = Held()
    together = Together(held, at_most=4)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(together.ask, 100)
        assert held.has_begun.wait(120)
        others = [pool.submit(together.ask, n) for n in range(1, 7)]
        waiting(together, 6)
        held.go_on.set()
        assert first.result(30) == -100
        assert [other.result(30) for other in others] == [-1, -2, -3, -4, -5, -6]
    assert [len(call) for call in held.calls] == [1, 4, 2]


def test_error_reaches_only_the_threads_of_its_own_call() -> None:
    held = Held(broken_by=1)
    together = Together(held, at_most=2)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(together.ask, 100)
        assert held.has_begun.wait(120)
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
