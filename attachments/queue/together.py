"""Lets several threads share one statement: questions that come while a statement runs are served together by the next
one.

No thread waits for others to come. Under load the statements grow instead of queueing.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")


class _Question(Generic[A, R]):
    """One thread's question and its answer."""

    def __init__(self, question: A) -> None:
        self.question = question
        self.is_called = threading.Event()
        self.answers: list[R] = []
        self.fault: BaseException | None = None
        self.is_answered = False


class Together(Generic[A, R]):
    """Calls ``work`` with the questions of all waiting threads. It must return an answer for each, in their order.

    An error of ``work`` is raised in every thread whose question was included.
    """

    def __init__(self, work: Callable[[Sequence[A]], Sequence[R]], *, at_most: int = 64) -> None:
        self._work, self._at_most = work, at_most
        self._lock = threading.Lock()
        self._waiting: list[_Question[A, R]] = []
        self._is_busy = False

    def ask(self, question: A) -> R:
        """The answer to this question. Another thread may have run the statement."""
        mine: _Question[A, R] = _Question(question)
        with self._lock:
            self._waiting.append(mine)
            must_wait, self._is_busy = self._is_busy, True
        if must_wait:
            mine.is_called.wait()
        if not mine.is_answered:
            self._serve()
        if mine.fault is not None:
            raise mine.fault
        return mine.answers[0]

    def _serve(self) -> None:
        """Answer the waiting questions, including this thread's, and call the next thread to serve."""
        with self._lock:
            served, self._waiting = self._waiting[: self._at_most], self._waiting[self._at_most :]
        try:
            answers = self._work([asked.question for asked in served])
            for asked, answer in zip(served, answers, strict=True):
                asked.answers.append(answer)
        except BaseException as error:  # any error must reach every waiting thread
            for asked in served:
                asked.answers.clear()
                asked.fault = error
        finally:
            with self._lock:
                following = self._waiting[0] if self._waiting else None
                self._is_busy = following is not None
            for asked in served:
                asked.is_answered = True
                asked.is_called.set()
            if following is not None:
                following.is_called.set()
