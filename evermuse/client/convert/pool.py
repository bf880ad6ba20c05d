"""Runs a function over many items in several processes. Results come in order, and memory is bounded.

If a process dies or an item takes too long, only that item fails, and the following items go to another process. Processes
are started with ``spawn``, which every system has.
"""

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, TypeVar

from evermuse.client.convert.format import PoolError

Item = TypeVar("Item")
CHUNKS_A_WORKER = 2
# The most finished chunks that wait for an earlier one.
CHUNKS_AHEAD = 8
# A process needs this long to import its modules.
START_SECONDS = 60.0
_READY = "ready"


@dataclass(frozen=True, slots=True)
class Failed:
    """The result of an item that failed, with the reason."""

    reason: str


@dataclass(slots=True)
class _Chunk(Generic[Item]):
    items: list[Item]
    size: int
    results: list[Any] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        return len(self.results) == len(self.items)


@dataclass(slots=True, eq=False)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    # When its next message is overdue.
    deadline: float
    chunks: deque[_Chunk[Any]] = field(default_factory=deque)
    is_ready: bool = False


class Pool(Generic[Item]):
    """``prepare(*arguments)`` is called in each process and returns the function for one item.

    Both must be importable by name. The function must not raise, and its result is sent back. ``size_of``: an item's bytes.
    The items in progress have about ``max_bytes`` together, unless a single item has more.
    """

    def __init__(
        self,
        prepare: Callable[..., Callable[[Item], Any]],
        arguments: Sequence[Any],
        *,
        processes: int,
        item_seconds: float,
        size_of: Callable[[Item], int],
        max_bytes: int = 32 * 1024 * 1024,
        chunk_items: int = 64,
        chunk_bytes: int = 512 * 1024,
    ) -> None:
        self._prepare, self._arguments, self._processes = prepare, tuple(arguments), processes
        self._seconds, self._size_of = item_seconds, size_of
        self._max_bytes, self._chunk_items, self._chunk_bytes = max_bytes, chunk_items, chunk_bytes
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._waiting: deque[_Chunk[Item]] = deque()

    def map(self, items: Iterable[Item]) -> Iterator[tuple[Item, Any]]:
        """Each item with its result, or with `Failed`, in their order."""
        chunks = self._chunks(items)
        under_way: deque[_Chunk[Item]] = deque()
        size, is_exhausted = 0, False
        try:
            while True:
                while not is_exhausted and len(under_way) < self._processes * CHUNKS_AHEAD:
                    if under_way and size >= self._max_bytes:
                        break
                    chunk = next(chunks, None)
                    if chunk is None:
                        is_exhausted = True
                        break
                    under_way.append(chunk)
                    self._waiting.append(chunk)
                    size += chunk.size
                if not under_way:
                    return
                while not under_way[0].is_done:
                    self._work()
                done = under_way.popleft()
                size -= done.size
                yield from zip(done.items, done.results, strict=True)
        finally:
            self.close()

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.pipe.close()
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
        self._workers.clear()
        self._waiting.clear()

    def _chunks(self, items: Iterable[Item]) -> Iterator[_Chunk[Item]]:
        chunk: _Chunk[Item] = _Chunk([], 0)
        for item in items:
            size = self._size_of(item)
            if chunk.items and (len(chunk.items) >= self._chunk_items or chunk.size + size > self._chunk_bytes):
                yield chunk
                chunk = _Chunk([], 0)
            chunk.items.append(item)
            chunk.size += size
        if chunk.items:
            yield chunk

    def _work(self) -> None:
        """Assign chunks to processes, and collect finished and overdue ones."""
        self._hand_out()
        soonest = min((worker.deadline for worker in self._workers if worker.chunks), default=0.0)
        ready = set(wait([w.pipe for w in self._workers if w.chunks], max(soonest - time.monotonic(), 0.0)))
        now = time.monotonic()
        for worker in [worker for worker in self._workers if worker.chunks]:
            if worker.pipe in ready:
                self._receive(worker)
            elif worker.deadline <= now:
                self._give_up(worker, f"it took longer than {self._seconds:g} seconds")

    def _hand_out(self) -> None:
        while self._waiting:
            idle = min(self._workers, key=lambda worker: len(worker.chunks), default=None)
            if len(self._workers) < self._processes and (idle is None or idle.chunks):
                idle = self._started()
            if idle is None or len(idle.chunks) >= CHUNKS_A_WORKER:
                return
            chunk = self._waiting.popleft()
            try:
                idle.pipe.send(chunk.items[len(chunk.results) :])
            except OSError:
                # The process ended. Its last messages are still in the pipe, and `_receive` reads them.
                self._waiting.appendleft(chunk)
                if idle.chunks:
                    return
                self._end(idle, "its process ended")
                continue
            if not idle.chunks and idle.is_ready:
                idle.deadline = time.monotonic() + self._seconds
            idle.chunks.append(chunk)

    def _started(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._prepare, self._arguments), daemon=True)
        process.start()
        theirs.close()
        worker = _Worker(process, ours, time.monotonic() + START_SECONDS)
        self._workers.append(worker)
        return worker

    def _receive(self, worker: _Worker) -> None:
        try:
            message = worker.pipe.recv()
        except (EOFError, OSError):
            self._give_up(worker, "its process ended")
            return
        worker.deadline = time.monotonic() + self._seconds
        if not worker.is_ready:
            worker.is_ready = True
            return
        chunk = worker.chunks[0]
        chunk.results.append(message)
        if chunk.is_done:
            worker.chunks.popleft()

    def _end(self, worker: _Worker, reason: str) -> None:
        self._workers.remove(worker)
        worker.pipe.close()
        worker.process.kill()
        worker.process.join()
        if not worker.is_ready:
            raise PoolError(f"a process cannot start: {reason}, exit code {worker.process.exitcode}")

    def _give_up(self, worker: _Worker, reason: str) -> None:
        """End a process. Its current item fails. Its other items wait for another process."""
        self._end(worker, reason)
        chunk = worker.chunks[0]
        chunk.results.append(Failed(reason))
        if chunk.is_done:
            worker.chunks.popleft()
        self._waiting.extendleft(reversed(worker.chunks))


def _serve(pipe: Connection, prepare: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...]) -> None:
    """The main function of a process. It ends when its pipe is closed. It ignores Ctrl-C, because the caller ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run = prepare(*arguments)
    try:
        pipe.send(_READY)
        while True:
            for item in pipe.recv():
                pipe.send(run(item))
    except (EOFError, OSError):
        return
