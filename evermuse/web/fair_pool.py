"""A thread pool that owners share fairly: whoever sends most waits longest, and no owner holds every thread.

In a common queue the owner with most requests would come first. Here each owner has a queue, and a free thread serves
the owner that holds the fewest threads. One thread is never given to an owner that holds all the others, so the next
owner's request starts at once.

Heavy work keeps the interpreter busy for long, and everybody waits for the interpreter. So only some threads do heavy
work at once, and the same rule applies among them.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

_Job = tuple[Future[Any], Callable[[], Any]]
# An owner, and whether the work is heavy.
_Queue = tuple[str, bool]


class FairPool:
    """Threads, and queues of each owner. ``heavy``: the threads that may do heavy work at once."""

    def __init__(self, threads: int, *, heavy: int | None = None, thread_name_prefix: str = "") -> None:
        self._threads = threads
        self._most = max(1, threads - 1)
        self._heavy_threads = threads if heavy is None else min(heavy, threads)
        self._most_heavy = max(1, self._heavy_threads - 1)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=thread_name_prefix)
        self._lock = Lock()
        # The owner whose last turn is longest ago comes first.
        self._waiting: OrderedDict[_Queue, deque[_Job]] = OrderedDict()
        self._held: Counter[str] = Counter()
        self._held_heavily: Counter[str] = Counter()
        self._busy = 0
        self._is_stopped = False

    def of(self, owner: str) -> "Share":
        """The pool as seen by one owner."""
        return Share(self, owner)

    def submit(self, owner: str, work: Callable[[], Any], *, is_heavy: bool = False) -> Future[Any]:
        """Run a call in a thread of the pool, at the owner's turn."""
        future: Future[Any] = Future()
        with self._lock:
            if self._is_stopped:
                raise RuntimeError("the pool is stopped")
            self._waiting.setdefault((owner, is_heavy), deque()).append((future, work))
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

    def _next(self) -> tuple[_Queue, _Job] | None:
        """The next job and its queue. Counts the owner's thread. The lock must be held."""
        startable = filter(self._may_start, self._waiting)
        found = min(startable, key=lambda queue: (self._held[queue[0]], self._held_heavily[queue[0]]), default=None)
        if found is None:
            return None
        jobs = self._waiting[found]
        job = jobs.popleft()
        if jobs:
            self._waiting.move_to_end(found)
        else:
            del self._waiting[found]
        self._count(found, 1)
        return found, job

    def _may_start(self, queue: _Queue) -> bool:
        owner, is_heavy = queue
        if self._held[owner] >= self._most:
            return False
        return not is_heavy or (
            self._held_heavily[owner] < self._most_heavy and self._held_heavily.total() < self._heavy_threads
        )

    def _count(self, queue: _Queue, change: int) -> None:
        """Count a thread that an owner takes or releases. The lock must be held."""
        owner, is_heavy = queue
        for held in (self._held, self._held_heavily) if is_heavy else (self._held,):
            held[owner] += change
            if not held[owner]:
                del held[owner]

    def _work(self, queue: _Queue, job: _Job) -> None:
        """Run jobs in this thread until none may start."""
        turn: tuple[_Queue, _Job] | None = (queue, job)
        while turn is not None:
            _do(*turn[1])
            with self._lock:
                self._count(turn[0], -1)
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

    def __init__(self, pool: FairPool, owner: str, *, is_heavy: bool = False) -> None:
        self._pool, self._owner, self.is_heavy = pool, owner, is_heavy

    def heavy(self) -> "Share":
        """The same for heavy work."""
        return Share(self._pool, self._owner, is_heavy=True)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a call in a thread of the pool, at the owner's turn."""
        return self._pool.submit(self._owner, lambda: fn(*args, **kwargs), is_heavy=self.is_heavy)
