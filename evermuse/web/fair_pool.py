"""A thread pool that owners share fairly: whoever sends most waits longest, and no owner holds every thread.

In a common queue the owner with most requests would come first. Here each owner has a queue, and a free thread serves
the owner that holds the fewest threads. One thread is never given to an owner that holds all the others, so the next
owner's request starts at once.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

_Job = tuple[Future[Any], Callable[[], Any]]


class FairPool:
    """Threads, and a queue for each owner."""

    def __init__(self, threads: int, *, thread_name_prefix: str = "") -> None:
        self._threads = threads
        self._most = max(1, threads - 1)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=thread_name_prefix)
        self._lock = Lock()
        # The owner whose last turn is longest ago comes first.
        self._waiting: OrderedDict[str, deque[_Job]] = OrderedDict()
        self._held: dict[str, int] = {}
        self._busy = 0
        self._is_stopped = False

    def of(self, owner: str) -> "Share":
        """The pool as seen by one owner."""
        return Share(self, owner)

    def submit(self, owner: str, work: Callable[[], Any]) -> Future[Any]:
        """Run a call in a thread of the pool, at the owner's turn."""
        future: Future[Any] = Future()
        with self._lock:
            if self._is_stopped:
                raise RuntimeError("the pool is stopped")
            self._waiting.setdefault(owner, deque()).append((future, work))
            if self._busy < self._threads and (turn := self._next()) is not None:
                self._busy += 1
                self._pool.submit(self._work, *turn)
        return future

    def shutdown(self, *, wait: bool = True, cancel_futures: bool = False) -> None:
        """Accept no more work. See `ThreadPoolExecutor.shutdown`."""
        with self._lock:
            self._is_stopped = True
            dropped = [future for jobs in self._waiting.values() for future, _ in jobs] if cancel_futures else []
            if cancel_futures:
                self._waiting.clear()
        for future in dropped:
            future.cancel()
        self._pool.shutdown(wait=wait)

    def _next(self) -> tuple[str, _Job] | None:
        """The next job and its owner. Counts the owner's thread. The lock must be held."""
        found = min(self._waiting, key=lambda owner: self._held.get(owner, 0), default=None)
        if found is None or self._held.get(found, 0) >= self._most:
            return None
        jobs = self._waiting[found]
        job = jobs.popleft()
        if jobs:
            self._waiting.move_to_end(found)
        else:
            del self._waiting[found]
        self._held[found] = self._held.get(found, 0) + 1
        return found, job

    def _leave(self, owner: str) -> None:
        """Release an owner's thread. The lock must be held."""
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]

    def _work(self, owner: str, job: _Job) -> None:
        """Run jobs in this thread until none may start."""
        turn: tuple[str, _Job] | None = (owner, job)
        while turn is not None:
            _do(*turn[1])
            with self._lock:
                self._leave(turn[0])
                turn = self._next()
                if turn is None:
                    self._busy -= 1


def _do(future: Future[Any], work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


class Share(Executor):
    """The pool as seen by one owner, as an executor for the event loop."""

    def __init__(self, pool: FairPool, owner: str) -> None:
        self._pool, self._owner = pool, owner

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a call in a thread of the pool, at the owner's turn."""
        return self._pool.submit(self._owner, lambda: fn(*args, **kwargs))
