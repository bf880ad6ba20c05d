"""A small load generator: each of its keep-alive connections sends the next request when the last one is answered."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """The result of a load. ``latencies``: seconds for each request."""

    rate: float
    latencies: list[float] = field(default_factory=list)

    @property
    def p99(self) -> float:
        """Returns the seconds within which 99 of 100 requests were answered."""
        return sorted(self.latencies)[int(len(self.latencies) * 0.99)]


class _Connection(asyncio.Protocol):
    def __init__(self, load: "_Load") -> None:
        self._load = load
        self._buffer = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._next()

    def _next(self) -> None:
        if self._load.left <= 0:
            self._transport.close()
            return
        self._load.left -= 1
        self._began = time.perf_counter()
        self._transport.write(self._load.request())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        lower = head.lower()
        at = lower.index(b"content-length:") + 15
        length = int(lower[at : lower.find(b"\r", at) if b"\r" in lower[at:] else None])
        if len(body) < length:
            return
        if not head.startswith(self._load.expected):
            self._load.done.set_exception(AssertionError(self._buffer[:500]))
            return
        self._buffer = b""
        self._load.latencies.append(time.perf_counter() - self._began)
        if len(self._load.latencies) == self._load.total:
            self._load.done.set_result(None)
        if self._load.pause:
            asyncio.get_running_loop().call_later(self._load.pause, self._next)
        else:
            self._next()


class _Load:
    def __init__(self, request: Callable[[], bytes], total: int, expected: bytes, pause: float) -> None:
        self.request, self.total, self.left, self.expected = request, total, total, expected
        self.pause = pause
        self.latencies: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


def send(
    port: int, request: Callable[[], bytes], *, total: int, connections: int, status: int, pause: float = 0.0
) -> Outcome:
    """Send ``total`` requests over some connections; every answer must have the status.

    ``pause``: seconds that a connection waits between an answer and its next request.
    """

    async def run() -> Outcome:
        load = _Load(request, total, b"HTTP/1.1 %d" % status, pause)
        began = time.perf_counter()
        loop = asyncio.get_running_loop()
        for _ in range(min(connections, total)):
            await loop.create_connection(lambda: _Connection(load), "127.0.0.1", port)
        await load.done
        return Outcome(total / (time.perf_counter() - began), load.latencies)

    return asyncio.run(run())


def post(path: str, body: bytes, key: str, content_type: str) -> bytes:
    """Returns a whole request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nx-api-key: {key}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
