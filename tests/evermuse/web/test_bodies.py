"""The budget for bodies is shared by need, and no owner can take all of it while another waits."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from evermuse.web import bodies
from evermuse.web.bodies import BodyBudget, Holding, NoRoom


def run(work: Callable[[BodyBudget], Awaitable[None]], *, limit: int = 10) -> None:
    async def main() -> None:
        await work(BodyBudget(limit))

    asyncio.run(main())


def unfinished(budget: BodyBudget, owner: str, given_up: list[str]) -> Holding:
    holding = Holding(budget, owner)
    holding.evict = lambda: given_up.append(owner)
    return holding


def test_released_body_bytes_are_available_again() -> None:
    async def work(budget: BodyBudget) -> None:
        holding = Holding(budget, "a")
        await holding.take(10)
        assert budget.used == 10
        holding.release()
        holding.release()
        assert budget.used == 0
        await Holding(budget, "a").take(10)

    run(work)


def test_body_waits_until_the_budget_has_room() -> None:
    async def work(budget: BodyBudget) -> None:
        first, second = Holding(budget, "a"), Holding(budget, "a")
        await first.take(8)
        waiting = asyncio.create_task(second.take(8))
        await asyncio.sleep(0)
        assert not waiting.done()
        first.release()
        await waiting

    run(work)


def test_body_that_finds_no_room_in_time_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "WAIT_SECONDS", 0.01)

    async def work(budget: BodyBudget) -> None:
        given_up: list[str] = []
        await unfinished(budget, "a", given_up).take(8)
        with pytest.raises(NoRoom):
            await unfinished(budget, "a", given_up).take(8)
        assert given_up == []

    run(work)


def test_full_budget_drops_the_oldest_body_of_the_owner_that_holds_most() -> None:
    async def work(budget: BodyBudget) -> None:
        given_up: list[str] = []
        old, new = (unfinished(budget, "hog", given_up) for _ in range(2))
        for holding in (old, new):
            await holding.take(4)
        await unfinished(budget, "neighbour", given_up).take(3)
        assert given_up == ["hog"]
        assert (old.is_evicted, new.is_evicted, budget.used) == (True, False, 7)

    run(work)


def test_body_that_is_being_processed_is_not_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "WAIT_SECONDS", 0.01)

    async def work(budget: BodyBudget) -> None:
        await Holding(budget, "hog").take(10)
        with pytest.raises(NoRoom):
            await Holding(budget, "neighbour").take(3)

    run(work)


class Clock:
    """Advances when the test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_stalled_body_is_dropped_first_even_for_an_owner_that_holds_more() -> None:
    clock = Clock()

    async def work(budget: BodyBudget) -> None:
        given_up: list[str] = []
        moves, stalls = (Holding(budget, owner, clock) for owner in ("big", "small"))
        for holding, size in ((moves, 7), (stalls, 3)):
            holding.evict = lambda: given_up.append("")
            await holding.take(size)
        clock.now += 2
        moves.arrived(5)
        await Holding(budget, "big", clock).take(3)
        assert (moves.is_evicted, stalls.is_evicted, len(given_up)) == (False, True, 1)

    run(work)


def test_trickling_body_counts_as_slow_and_a_steady_one_does_not() -> None:
    clock = Clock()

    async def work(budget: BodyBudget) -> None:
        drips, flows = (Holding(budget, "a", clock) for _ in range(2))
        for holding in (drips, flows):
            await holding.take(5_000_000)
            holding.arrived(1_000_000)
            assert not holding.is_slow()
        for _ in range(4):
            clock.now += 0.6
            drips.arrived(1)
            flows.arrived(300_000)
        assert (drips.is_slow(), flows.is_slow()) == (True, False)

    run(work, limit=10_000_000)


def test_body_that_waits_for_room_does_not_count_as_slow() -> None:
    clock = Clock()

    async def work(budget: BodyBudget) -> None:
        first, second = (Holding(budget, "a", clock) for _ in range(2))
        await first.take(10)
        waiting = asyncio.create_task(second.take(10))
        await asyncio.sleep(0)
        clock.now += 5
        first.release()
        await waiting
        assert not second.is_slow()

    run(work)
