"""Processes that die, hang or cannot start, and the order and bounds of what comes out."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from evermuse.client.convert.format import PoolError
from evermuse.client.convert.pool import Failed, Pool


def prepare(kind: str) -> Callable[[int], int]:
    """Doubles a number; some numbers end or stop the process."""
    if kind == "broken":
        sys.exit(3)

    def double(number: int) -> int:
        if kind == "dies" and number % 10 == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "hangs" and number in {5, 6}:
            time.sleep(3600)
        return 2 * number

    return double


def pool(kind: str, **options: object) -> Pool[int]:
    return Pool(
        prepare, (kind,), processes=2, item_seconds=2, size_of=lambda number: 1, chunk_items=4, **options  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["dies", "hangs"])
def test_item_that_ends_or_stops_its_process_fails_alone_and_order_is_kept(kind: str) -> None:
    found = list(pool(kind).map(range(30)))
    assert [number for number, _ in found] == list(range(30))
    failed = {number for number, result in found if isinstance(result, Failed)}
    assert failed == ({3, 13, 23} if kind == "dies" else {5, 6})
    assert all(result == 2 * number for number, result in found if number not in failed)


def test_processes_that_cannot_start_are_an_error_and_not_a_reject_for_each_item() -> None:
    with pytest.raises(PoolError, match="cannot start"):
        list(pool("broken").map(range(1000)))


def test_items_are_taken_no_faster_than_results_are_read() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(100_000):
            taken.append(number)
            yield number

    results = pool("works").map(items())
    for _ in range(3):
        next(results)
    assert len(taken) < 200
    results.close()  # type: ignore[attr-defined]


def test_large_items_are_under_way_one_at_a_time() -> None:
    results = pool("works", max_bytes=1, chunk_bytes=1).map(iter(range(20)))
    assert [result for _, result in results] == [2 * number for number in range(20)]
