"""Reads a request's body in the event loop: completely or not at all, within a size limit, a deadline and the process's
budget.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NoReturn

from evermuse.web.bodies import Holding, NoRoom

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# The contract's limit counts decompressed bytes. gzip adds 5 bytes in 64 KiB to incompressible content.
MAX_BODY_BYTES = 5 * 1024 * 1024
MAX_SENT_BYTES = MAX_BODY_BYTES + 64 * 1024
# The bytes that a body may send before it reserves room. An announced length alone must not keep others out.
FREE_BYTES = 16 * 1024
# How a body ended. Views find it in environ["evermuse.body"]. AWAITED: it has not been read yet.
COMPLETE, TOO_LARGE, TIMED_OUT, REFUSED, AWAITED = "complete", "too large", "timed out", "refused", "awaited"


class Disconnected(Exception):
    """The client disconnected, or its body ended too early."""


class BodyAwaited(BaseException):
    """The request passed every check that needs only its head. Read the body and run it again.

    It is not an Exception, so that no error handler of Django or REST framework turns it into a response.
    """


class AwaitedBody:
    """``wsgi.input`` of a request whose body has not been read. Reading it raises BodyAwaited."""

    def read(self, size: int = -1) -> NoReturn:
        raise BodyAwaited

    readline = readlines = __iter__ = read


async def read_body(
    receive: Receive, *, limit: int, seconds: float, holding: Holding | None = None, announced: int | None = None
) -> tuple[bytes, str]:
    """The body, and how it ended. Reads at most ``limit`` bytes and for at most ``seconds``.

    ``holding``: the body's share of the process's budget. REFUSED is returned if there is no room. All room for the
    body is reserved once its first FREE_BYTES have arrived, because bodies that grew together could all stop short of
    their end. ``announced``: bytes.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds) as deadline:
            if holding is not None:
                holding.evict = lambda: deadline.reschedule(0)
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                part = message.get("body", b"")
                size += len(part)
                if size > limit:
                    return b"", TOO_LARGE
                if holding is not None:
                    if not holding.size and size > FREE_BYTES:
                        await holding.take(limit if announced is None else announced)
                    holding.arrived(len(part))
                parts.append(part)
                if not message.get("more_body", False):
                    if holding is not None:
                        holding.evict = None
                    return b"".join(parts), COMPLETE
    except NoRoom:
        return b"", REFUSED
    except TimeoutError:
        return b"", REFUSED if holding is not None and holding.is_evicted else TIMED_OUT
