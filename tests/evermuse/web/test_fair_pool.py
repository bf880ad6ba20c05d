"""Owners share a pool of threads: one that submits much never delays the others."""

from collections.abc import Iterator
from concurrent.futures import Future
from threading import Event, Semaphore

import pytest

from evermuse.web.fair_pool import FairPool


@pytest.fixture
def gate() -> Iterator[Event]:
    """An event for which slow work waits."""
    event = Event()
    yield event
    event.set()


@pytest.fixture
def pool(gate: Event) -> Iterator[FairPool]:
    pool = FairPool(3)
    yield pool
    gate.set()
    pool.shutdown(wait=True, cancel_futures=True)


def hold(pool: FairPool, owner: str, gate: Event, count: int) -> list[Future[bool]]:
    return [pool.of(owner).submit(gate.wait, 60) for _ in range(count)]


def test_owner_of_slow_work_leaves_a_thread_for_other_owners(pool: FairPool, gate: Event) -> None:
    slow = hold(pool, "a", gate, 20)
    assert [pool.of("b").submit(lambda: "done").result(30) for _ in range(3)] == ["done"] * 3
    gate.set()
    assert all(future.result(30) for future in slow)


def test_pool_serves_owners_in_turn_however_much_each_queued(gate: Event) -> None:
    pool = FairPool(1)
    first = pool.of("a").submit(gate.wait, 60)
    done: list[str] = []
    later = [pool.of(owner).submit(done.append, owner) for owner in ("a", "a", "a", "b", "b", "c")]
    gate.set()
    assert first.result(30)
    for future in later:
        future.result(30)
    pool.shutdown(wait=True)
    assert done == ["a", "b", "c", "a", "b", "a"]


def test_exception_in_the_pool_reaches_its_own_caller_only(pool: FairPool) -> None:
    with pytest.raises(ZeroDivisionError):
        pool.of("a").submit(lambda: 1 // 0).result(30)
    assert pool.of("a").submit(lambda: 1).result(30) == 1


def test_stopped_pool_drops_queued_work_and_accepts_none(gate: Event) -> None:
    pool = FairPool(1)
    running, waiting = hold(pool, "a", gate, 2)
    pool.shutdown(wait=False, cancel_futures=True)
    assert waiting.cancelled()
    with pytest.raises(RuntimeError):
        pool.of("a").submit(gate.wait)
    gate.set()
    assert running.result(30)


def test_heavy_work_leaves_threads_for_light_work_of_the_same_owner(gate: Event) -> None:
    pool = FairPool(4, heavy=2)
    heavy = [pool.of("a").heavy().submit(gate.wait, 60) for _ in range(20)]
    assert pool.of("a").submit(lambda: "done").result(30) == "done"
    gate.set()
    assert all(future.result(30) for future in heavy)
    pool.shutdown(wait=True)


def test_heavy_work_of_another_owner_starts_at_once(gate: Event) -> None:
    pool = FairPool(4, heavy=2)
    slow = [pool.of("a").heavy().submit(gate.wait, 60) for _ in range(20)]
    assert pool.of("b").heavy().submit(lambda: "done").result(30) == "done"
    gate.set()
    assert all(future.result(30) for future in slow)
    pool.shutdown(wait=True)


def test_no_more_heavy_work_runs_at_once_than_allowed(gate: Event) -> None:
    pool = FairPool(4, heavy=2)
    started = Semaphore(0)

    def work() -> bool:
        started.release()
        return gate.wait(60)

    slow = [pool.of(owner).heavy().submit(work) for owner in "abcd"]
    assert started.acquire(timeout=30) and started.acquire(timeout=30)
    assert pool.of("e").submit(lambda: "done").result(30) == "done"
    assert not started.acquire(blocking=False)
    gate.set()
    assert all(future.result(30) for future in slow)
    pool.shutdown(wait=True)
