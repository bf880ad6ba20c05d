"""One request and its response: uvicorn's cycle, with what the application needs beyond ASGI's messages."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from evermuse.web import draining


class Exchange(RequestResponseCycle):
    """One request and its response. The application gets it as ``scope["evermuse.exchange"]``."""

    is_cut_off = False
    # The arrival of the request, in Unix time.
    arrived = 0.0
    # The response ends with its connection, because it has no length and HTTP/1.0 has no chunks.
    _ends_by_close = False

    async def send(self, message: Any) -> None:
        """Like uvicorn's, but without chunks for HTTP/1.0. While the process drains, the response closes the connection."""
        if draining.is_on() and message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        if message["type"] == "http.response.start":
            self.transport.hold_next()  # type: ignore[attr-defined]
        if self.scope["http_version"] == "1.1":
            await super().send(message)
            return
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message["headers"]}
            if self.scope["method"] != "HEAD" and b"content-length" not in names:
                self._ends_by_close, self.chunked_encoding = True, False
        elif self._ends_by_close:
            is_last = not message.get("more_body", False)
            self.expected_content_length = len(message.get("body", b"")) + (0 if is_last else 1)
        await super().send(message)

    async def receive(self) -> Any:
        """Like uvicorn's, but also returns ``http.disconnect`` if the body will never be complete."""
        message = await super().receive()
        if self.is_cut_off and message.get("more_body"):
            return {"type": "http.disconnect"}
        return message

    def take_whole(self) -> bytes | None:
        """The body if all of it has arrived."""
        if self.more_body:
            return None
        body, self.body = self.body, bytearray()
        return bytes(body)

    async def whole_within(self, seconds: float) -> bytes | None:
        """The body if all of it arrives within this time. Otherwise what has arrived stays for `receive`."""
        try:
            async with asyncio.timeout(seconds):
                while self.more_body and not self.is_cut_off and not self.disconnected:
                    self.message_event.clear()
                    await self.message_event.wait()
        except TimeoutError:
            self.message_event.set()
        return self.take_whole()

    @property
    def awaits_continue(self) -> bool:
        """Whether the client waits for a 100 Continue before it sends the body."""
        return bool(self.waiting_for_100_continue)

    async def until_writable(self, seconds: float) -> bool:
        """Wait until the client has read most of what was sent. False if it does not within ``seconds``."""
        if self.flow.write_paused and not self.disconnected:
            try:
                async with asyncio.timeout(seconds):
                    await self.flow.drain()
            except TimeoutError:
                return False
        return True

    def abort(self) -> None:
        """Close the connection at once. The client notices that a chunk or a part of the length is missing.

        A body that ends with its connection has neither, so the connection is reset.
        """
        self.disconnected = True
        if self._ends_by_close:
            self.transport.reset()  # type: ignore[attr-defined]
            return
        self.transport.abort()
