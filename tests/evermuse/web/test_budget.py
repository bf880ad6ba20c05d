"""The budget for answers serves each owner's requests in order, and owners in turn."""

import asyncio
from collections.abc import Awaitable, Callable

from evermuse.web.budget import AnswerBudget, Owners, Room


def run(work: Callable[[AnswerBudget], Awaitable[None]], *, limit: int = 4) -> None:
    async def main() -> None:
        await work(AnswerBudget(limit))

    asyncio.run(main())


class Asker:
    """Requests rooms and records the order in which they are given."""

    def __init__(self, budget: AnswerBudget) -> None:
        self._budget = budget
        self.given: list[str] = []
        self.tasks: list[asyncio.Task[Room]] = []

    async def ask(self, owner: str, *, name: str = "", size: int = 1) -> asyncio.Task[Room]:
        async def take() -> Room:
            room = await self._budget.room(owner, size)
            self.given.append(name or owner)
            return room

        self.tasks.append(asyncio.create_task(take()))
        await turn()
        return self.tasks[-1]

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_budget_serves_requests_of_one_owner_in_order() -> None:
    async def work(budget: AnswerBudget) -> None:
        asker = Asker(budget)
        rooms = [await budget.room("a") for _ in range(1)]
        for name in ("first", "second", "third"):
            await asker.ask("a", name=name, size=4)
        rooms[0].release()
        for task in list(asker.tasks):
            (await task).release()
        assert asker.given == ["first", "second", "third"]

    run(work)


def test_released_room_goes_to_a_waiting_request_first() -> None:
    async def work(budget: AnswerBudget) -> None:
        asker = Asker(budget)
        room = await budget.room("a", 4)
        waiting = await asker.ask("b", size=4)
        room.release()
        again = await asker.ask("a", size=4)
        assert (waiting.done(), again.done()) == (True, False)
        await asker.stop()

    run(work)


def test_budget_serves_waiting_owners_in_turn() -> None:
    async def work(budget: AnswerBudget) -> None:
        asker = Asker(budget)
        room = await budget.room("x", 4)
        for owner in ("a", "a", "a", "b", "c", "b"):
            await asker.ask(owner, size=4)
        room.release()
        for _ in range(6):
            await turn()
            for task in list(asker.tasks):
                if task.done():
                    task.result().release()
                    asker.tasks.remove(task)
        assert asker.given == ["a", "b", "c", "a", "b", "a"]

    run(work)


def test_owner_holds_at_most_half_of_the_budget_while_another_waits() -> None:
    async def work(budget: AnswerBudget) -> None:
        asker = Asker(budget)
        rooms = [await budget.room("a", 1) for _ in range(4)]
        for _ in range(3):
            await asker.ask("a")
        await asker.ask("b", size=2)
        rooms[0].release()
        await turn()
        assert asker.given == []  # otherwise a would hold 4 of 4 again
        rooms[1].release()
        await turn()
        assert asker.given == ["b"]
        await asker.stop()

    run(work)


def test_owner_may_hold_the_whole_budget_while_no_other_waits() -> None:
    async def work(budget: AnswerBudget) -> None:
        for _ in range(4):
            await asyncio.wait_for(budget.room("a", 1), 5)

    run(work)


def test_cancelled_request_leaves_the_queue_and_releases_its_room() -> None:
    async def work(budget: AnswerBudget) -> None:
        asker = Asker(budget)
        room = await budget.room("a", 4)
        gone, given, last = [await asker.ask(owner, size=4) for owner in ("b", "c", "d")]
        gone.cancel()
        await turn()
        room.release()  # c gets the room, and is cancelled before it can run
        given.cancel()
        await asyncio.wait_for(last, 5)
        assert asker.given == ["d"]

    run(work)


def test_answer_returns_the_room_that_it_does_not_use() -> None:
    async def work(budget: AnswerBudget) -> None:
        room = await budget.room("a", 4)
        asker = Asker(budget)
        waiting = await asker.ask("b", size=3)
        room.fit(1)
        await asyncio.wait_for(waiting, 5)

    run(work)


def test_all_keys_of_a_workspace_count_as_one_owner() -> None:
    owners = Owners()
    first, second = ({"HTTP_X_API_KEY": key, "REMOTE_ADDR": "127.0.0.1"} for key in ("k1", "k2"))
    assert owners.of(first) != owners.of(second)
    for environ in (first, second):
        owners.learn(environ | {"evermuse.owner": "workspace 1"})
    assert owners.of(first) == owners.of(second) == "workspace 1"
