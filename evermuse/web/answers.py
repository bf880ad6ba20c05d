"""Sending large answers to clients of any speed, with one budget of bytes for what a process holds of them.

An answer takes its room in the budget before it is made. A client that does not read within HOLD_SECONDS has the rest
of the piece put in a file without a name, and its room goes to the next one: whoever pauses costs others nothing.
"""

import asyncio
import tempfile
from collections import deque
from collections.abc import Awaitable, Callable
from typing import IO

from django.conf import settings

from evermuse.asgi_body import Send
from evermuse.web.exchange import Exchange

# What is given to the kernel at once, and what a paused connection keeps in memory.
PIECE_BYTES = 64 * 1024
# An answer is at most about this large (`ingest.api.base`), and takes this much room until it is made.
ROOM_BYTES = 8 * 1024 * 1024
HOLD_SECONDS = 1.0


class CutOff(Exception):
    """The client went away, or did not read in time: drop the connection."""


class AnswerBudget:
    """``limit``: bytes of all answers together. Rooms are given in the order in which they were asked for."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def room(self) -> "Room":
        """Room for one answer, once there is."""
        while self._free < ROOM_BYTES:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                self._wake()
                raise
        self._free -= ROOM_BYTES
        return Room(self, ROOM_BYTES)

    def give_back(self, size: int) -> None:
        """Called by rooms."""
        self._free += size
        self._wake()

    def _wake(self) -> None:
        while self._waiting and self._free >= ROOM_BYTES:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


class Room:
    """What one answer takes of the budget."""

    def __init__(self, budget: AnswerBudget, size: int) -> None:
        self._budget, self._size = budget, size

    def fit(self, size: int) -> None:
        """Give back what the answer, now made, does not need; a larger one takes what there is not."""
        self._budget.give_back(self._size - size)
        self._size = size

    def release(self) -> None:
        """Give all of it back."""
        if self._size:
            self.fit(0)


async def deliver(content: bytes, room: Room | None, exchange: Exchange, send: Send) -> bool:
    """Send content whose start was sent, in pieces, as fast as the client reads. False when there is none.

    The caller must hold no reference to the content, so that it can be freed while the client pauses. Raises CutOff.
    """
    if room is not None:
        room.fit(len(content))
    view = memoryview(content)
    sent = 0
    while sent < len(view):
        await _send(bytes(view[sent : sent + PIECE_BYTES]), exchange, send)
        sent += PIECE_BYTES
        if sent >= len(view):
            break
        if not await exchange.until_writable(HOLD_SECONDS):
            file = await asyncio.to_thread(_spooled, view[sent:])
            view.release()
            del content
            if room is not None:
                room.release()
            await _deliver_file(file, exchange, send)
            return True
    return sent > 0


def _spooled(rest: memoryview) -> IO[bytes]:
    file = tempfile.TemporaryFile(prefix="evermuse-answer-", buffering=0)  # noqa: SIM115
    with rest:
        file.write(rest)
    file.seek(0)
    return file


async def _deliver_file(file: IO[bytes], exchange: Exchange, send: Send) -> None:
    with file:
        await drained(exchange)
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            await _send(piece, exchange, send)
            await drained(exchange)


async def _send(piece: bytes, exchange: Exchange, send: Send) -> None:
    if exchange.disconnected:
        raise CutOff
    await send({"type": "http.response.body", "body": piece, "more_body": True})


async def drained(exchange: Exchange) -> None:
    """Wait until the client has read what was sent. Raises CutOff when it pauses for too long, or is gone."""
    if not await exchange.until_writable(settings.EVERMUSE_READER_PAUSE_SECONDS) or exchange.disconnected:
        raise CutOff


Step = Callable[[], Awaitable[bytes]]


async def stream(step: Step, budget: AnswerBudget | None, exchange: Exchange, send: Send) -> None:
    """Make and send an answer step by step; ``step`` gives b"" at the end. Holds no room while a client pauses."""
    while True:
        await drained(exchange)
        room = await budget.room() if budget is not None else None
        try:
            if not await deliver(await step(), room, exchange, send):
                return
        finally:
            if room is not None:
                room.release()
