"""The budget for bodies: shared by need, and never by one owner alone."""

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


def test_what_is_given_back_is_free_again() -> None:
    async def work(budget: BodyBudget) -> None:
        holding = Holding(budget, "a")
        await holding.take(10)
        assert budget.used == 10
        holding.release()
        holding.release()
        assert budget.used == 0
        await Holding(budget, "a").take(10)

    run(work)


def test_a_body_waits_for_room() -> None:
    async def work(budget: BodyBudget) -> None:
        first, second = Holding(budget, "a"), Holding(budget, "a")
        await first.take(8)
        waiting = asyncio.create_task(second.take(8))
        await asyncio.sleep(0)
        assert not waiting.done()
        first.release()
        await waiting

    run(work)


def test_a_body_without_room_is_refused_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "WAIT_SECONDS", 0.01)

    async def work(budget: BodyBudget) -> None:
        given_up: list[str] = []
        await unfinished(budget, "a", given_up).take(8)
        with pytest.raises(NoRoom):
            await unfinished(budget, "a", given_up).take(8)
        assert given_up == []

    run(work)


def test_the_oldest_body_of_whoever_holds_most_makes_room_for_another() -> None:
    async def work(budget: BodyBudget) -> None:
        given_up: list[str] = []
        old, new = (unfinished(budget, "hog", given_up) for _ in range(2))
        for holding in (old, new):
            await holding.take(4)
        await unfinished(budget, "neighbour", given_up).take(3)
        assert given_up == ["hog"]
        assert (old.is_evicted, new.is_evicted, budget.used) == (True, False, 7)

    run(work)


def test_a_body_that_is_being_worked_on_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "WAIT_SECONDS", 0.01)

    async def work(budget: BodyBudget) -> None:
        await Holding(budget, "hog").take(10)
        with pytest.raises(NoRoom):
            await Holding(budget, "neighbour").take(3)

    run(work)
