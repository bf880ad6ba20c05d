"""A body is read in the event loop: completely or not at all."""

import asyncio
from collections.abc import Sequence

import pytest

from evermuse.asgi_body import COMPLETE, FREE_BYTES, TIMED_OUT, TOO_LARGE, Disconnected, Message, read_body
from evermuse.web.bodies import BodyBudget, Holding


def read(messages: Sequence[Message], *, limit: int = 10, seconds: float = 30.0) -> tuple[bytes, str, int]:
    """Returns the result of `read_body`, and how many messages it left unread."""
    waiting = list(messages)

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    body, ending = asyncio.run(read_body(receive, limit=limit, seconds=seconds))
    return body, ending, len(waiting)


def part(content: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": content, "more_body": more}


def test_body_is_joined_from_all_of_its_messages() -> None:
    assert read([part(b"ab"), part(b""), part(b"cd", more=False)]) == (b"abcd", COMPLETE, 0)


def test_body_of_exactly_the_limit_is_accepted() -> None:
    assert read([part(b"x" * 10, more=False)]) == (b"x" * 10, COMPLETE, 0)


def test_body_over_the_limit_is_not_read_further() -> None:
    assert read([part(b"x" * 6), part(b"x" * 5), part(b"never read")]) == (b"", TOO_LARGE, 1)


def test_stalled_body_is_rejected_after_the_timeout() -> None:
    assert read([part(b"x")], seconds=0.01) == (b"", TIMED_OUT, 0)


def test_body_of_a_client_that_disconnects_is_dropped() -> None:
    with pytest.raises(Disconnected):
        read([part(b"x"), {"type": "http.disconnect"}])


def test_announced_body_reserves_its_room_only_after_enough_bytes_arrived() -> None:
    async def main() -> None:
        budget = BodyBudget(5_000_000)
        used = []
        waiting = [part(b"x" * FREE_BYTES), part(b"x"), part(b"", more=False)]

        async def receive() -> Message:
            used.append(budget.used)
            return waiting.pop(0)

        holding = Holding(budget, "a")
        await read_body(receive, limit=5_000_000, seconds=30, holding=holding, announced=4_000_000)
        assert used == [0, 0, 4_000_000]

    asyncio.run(main())
