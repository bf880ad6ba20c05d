"""Sends large responses to clients of any speed.

If a client has not read a response within HOLD_SECONDS, the rest moves to a file without a name, and its room in the
budget (`evermuse.web.budget`) becomes free. So a client that pauses or reads slowly costs others nothing.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from typing import IO

from django.conf import settings

from evermuse.asgi_body import Message, Send
from evermuse.web.budget import Room
from evermuse.web.exchange import Exchange

# The bytes that are passed to the kernel at once, and that a paused connection keeps in memory.
PIECE_BYTES = 64 * 1024
# How long a response stays in memory while it is sent.
HOLD_SECONDS = 1.0


class CutOff(Exception):
    """The client disconnected or did not read in time. Close the connection."""


async def deliver(content: bytes, room: Room | None, exchange: Exchange, send: Send) -> bool:
    """Send content piece by piece, as fast as the client reads. Its start must have been sent. False if there is no
    content.

    The caller must hold no reference to the content, so that it can be freed while the client pauses. Raises CutOff.
    """
    if room is not None:
        room.fit(len(content))
    clock = asyncio.get_running_loop().time
    until = clock() + HOLD_SECONDS
    view = memoryview(content)
    sent = 0
    while sent < len(view):
        await _send(bytes(view[sent : sent + PIECE_BYTES]), exchange, send)
        sent += PIECE_BYTES
        if sent >= len(view):
            break
        # For all pieces together, because a slow client must not keep its room for long.
        if not await exchange.until_writable(max(until - clock(), 0.0)):
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
    if is_gone(exchange):
        raise CutOff
    await send({"type": "http.response.body", "body": piece, "more_body": True})


def is_gone(exchange: Exchange) -> bool:
    """Whether the client has gone. uvicorn sets ``disconnected`` only for a connection's last request."""
    return exchange.disconnected or exchange.transport.is_closing()


async def drained(exchange: Exchange) -> None:
    """Wait until the client has read what was sent. Raises CutOff if it pauses too long or has gone."""
    if not await exchange.until_writable(settings.EVERMUSE_READER_PAUSE_SECONDS) or is_gone(exchange):
        raise CutOff


async def send_drained(message: Message, exchange: Exchange, send: Send) -> None:
    """Send a message after the client has read the previous ones. uvicorn's own ``send`` waits without limit."""
    await drained(exchange)
    await send(message)


Step = Callable[[], Awaitable[bytes]]


async def stream(step: Step, room: Callable[[], Awaitable[Room]] | None, exchange: Exchange, send: Send) -> None:
    """Produce and send a response step by step, until ``step`` returns b"". Holds no room while a client pauses.

    ``room``: reserves room for a step.
    """
    while True:
        await drained(exchange)
        held = await room() if room is not None else None
        try:
            if not await deliver(await step(), held, exchange, send):
                return
        finally:
            if held is not None:
                held.release()
