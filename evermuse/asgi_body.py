"""Reading a request's body in the event loop: whole or not at all, within a limit and a deadline."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# The contract's limit counts decompressed bytes; gzip of incompressible bytes is larger by 5 bytes in 64 KiB.
MAX_BODY_BYTES = 5 * 1024 * 1024
MAX_SENT_BYTES = MAX_BODY_BYTES + 64 * 1024
# How a body ended, told to the views as environ["evermuse.body"].
COMPLETE, TOO_LARGE, TIMED_OUT = "complete", "too large", "timed out"


class Disconnected(Exception):
    """The client went away, or its body ended before its announced end."""


async def read_body(receive: Receive, *, limit: int, seconds: float) -> tuple[bytes, str]:
    """The body and how it ended; reads no further than ``limit`` bytes and no longer than ``seconds``."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                part = message.get("body", b"")
                size += len(part)
                if size > limit:
                    return b"", TOO_LARGE
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts), COMPLETE
    except TimeoutError:
        return b"", TIMED_OUT
