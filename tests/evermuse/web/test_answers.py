"""Large answers: a client that pauses keeps no part of them in memory, and receives them completely in the end."""

import asyncio
import tracemalloc
from typing import Any

import pytest

from evermuse.web.answers import PIECE_BYTES, CutOff, deliver, send_drained, stream
from evermuse.web.budget import ROOM_BYTES, AnswerBudget

SIZE = 5_000_000


class Reader:
    """A connection whose client reads when the test says so."""

    disconnected = False

    def __init__(self) -> None:
        self.transport = self
        self.reads = asyncio.Event()
        self.pauses = asyncio.Event()
        self.got = 0

    def is_closing(self) -> bool:
        return False

    async def until_writable(self, seconds: float) -> bool:
        if self.reads.is_set():
            return True
        self.pauses.set()
        if seconds > 1:
            await self.reads.wait()
            return True
        return False

    async def send(self, message: Any) -> None:
        self.got += len(message["body"])


def test_answer_that_a_paused_client_has_not_read_is_not_kept_in_memory() -> None:
    async def main() -> None:
        budget, reader = AnswerBudget(ROOM_BYTES), Reader()
        room = await budget.room("a")

        async def send() -> bool:
            return await deliver(b"z" * SIZE, room, reader, reader.send)  # type: ignore[arg-type]

        tracemalloc.start()
        sending = asyncio.create_task(send())
        # The next answer gets the room as soon as the rest of this one is in its file.
        await budget.room("a")
        await asyncio.sleep(0.05)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held < SIZE / 5
        assert reader.got <= 2 * PIECE_BYTES
        reader.reads.set()
        assert await sending
        assert reader.got == SIZE

    asyncio.run(main())


def test_stream_reads_no_more_rows_while_its_client_pauses() -> None:
    async def main() -> None:
        reader, made = Reader(), 0

        async def step() -> bytes:
            nonlocal made
            made += 1
            return b"z" * PIECE_BYTES if made < 5 else b""

        sending = asyncio.create_task(stream(step, None, reader, reader.send))  # type: ignore[arg-type]
        await reader.pauses.wait()
        assert made == 0
        reader.reads.set()
        await sending
        assert (made, reader.got) == (5, 4 * PIECE_BYTES)

    asyncio.run(main())


def test_nothing_is_sent_to_a_client_that_disconnected() -> None:
    async def main() -> None:
        reader = Reader()
        reader.disconnected = True
        with pytest.raises(CutOff):
            await deliver(b"z", None, reader, reader.send)  # type: ignore[arg-type]
        assert reader.got == 0

    asyncio.run(main())


class Trickle(Reader):
    """A client that keeps reading, but slowly."""

    asked: int = 0

    async def until_writable(self, seconds: float) -> bool:
        self.asked += 1
        await asyncio.sleep(min(seconds, 0.1))
        return seconds > 0.1


def test_client_that_reads_slowly_releases_the_answer_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evermuse.web.answers.HOLD_SECONDS", 0.25)

    async def main() -> None:
        budget, reader = AnswerBudget(ROOM_BYTES), Trickle()
        room = await budget.room("a")
        sending = asyncio.create_task(deliver(b"z" * SIZE, room, reader, reader.send))  # type: ignore[arg-type]
        await budget.room("b")
        assert reader.got < SIZE
        assert not sending.done()
        sending.cancel()

    asyncio.run(main())


def test_send_to_a_client_that_does_not_read_ends_after_the_allowed_pause(settings: Any) -> None:
    settings.EVERMUSE_READER_PAUSE_SECONDS = 1

    async def main() -> None:
        reader = Reader()
        with pytest.raises(CutOff):
            await send_drained({"type": "http.response.start"}, reader, reader.send)  # type: ignore[arg-type]

    asyncio.run(main())


def test_client_counts_as_gone_once_its_connection_is_closed() -> None:
    async def main() -> None:
        reader = Reader()
        reader.reads.set()
        reader.is_closing = lambda: True  # type: ignore[method-assign]
        with pytest.raises(CutOff):
            await send_drained({"type": "http.response.start"}, reader, reader.send)  # type: ignore[arg-type]

    asyncio.run(main())
