"""A client's connection: uvicorn's HTTP/1.1 protocol, with the bounds that it lacks.

- The head of a request is limited in bytes, in headers and in time.
- A client that closes its sending side after a whole request gets the answer; one that closes before is told.
- An answer before the end of a body reaches the client: the rest of the body is read and dropped for a while, since
  closing at once would make the kernel reset the connection and discard the answer.
- Connections are counted by client address.
"""

import asyncio
import contextlib
import json
from typing import Any

import httptools
from django.conf import settings
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from evermuse.web.addresses import ClientCounts, counted_as, is_proxy

MAX_HEAD_BYTES, MAX_HEADERS = 64 * 1024, 200
# Requests that a client may send ahead of their answers on one connection.
MAX_PIPELINED = 16
# What is read and dropped after an early answer. More than the largest body that we take.
LINGER_BYTES, LINGER_SECONDS = 16 * 1024 * 1024, 10.0

# Made by each process for itself: `spawn` starts workers afresh.
_counts = ClientCounts(settings.EVERMUSE_CONNECTIONS_PER_ADDRESS)


class BadRequest(httptools.HttpParserError):
    """Raised in a parser's callback for a head that is over a limit."""


class Exchange(RequestResponseCycle):
    """One request and its answer; what the application gets as ``scope["evermuse.exchange"]``."""

    is_cut_off = False

    async def receive(self) -> Any:
        """uvicorn's, which also says ``http.disconnect`` when the body will never be whole."""
        message = await super().receive()
        if self.is_cut_off and message.get("more_body"):
            return {"type": "http.disconnect"}
        return message

    def take_whole(self) -> bytes | None:
        """The body, if all of it has come already."""
        if self.more_body:
            return None
        body, self.body = self.body, bytearray()
        return bytes(body)

    async def whole_within(self, seconds: float) -> bytes | None:
        """The body, if all of it comes in this time; what has come stays for `receive` otherwise."""
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
        """Whether the client holds its body back until it gets a 100 Continue."""
        return bool(self.waiting_for_100_continue)

    async def until_writable(self, seconds: float) -> bool:
        """Wait until the client has read most of what was sent; False when it did not within ``seconds``."""
        if self.flow.write_paused and not self.disconnected:
            try:
                async with asyncio.timeout(seconds):
                    await self.flow.drain()
            except TimeoutError:
                return False
        return True

    def abort(self) -> None:
        """Drop the connection at once. A chunked body stays without its last chunk, which the client can tell."""
        self.disconnected = True
        self.transport.abort()


class Connection(HttpToolsProtocol):
    """A connection to one client. For its exchanges it stands in for the transport: its `close` lingers."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], **options: Any) -> None:
        super().__init__(config, server_state, app_state, **options)
        self._client_counted: str | None = None
        self._is_in_head = False
        self._head_bytes = 0
        self._head_deadline: asyncio.TimerHandle | None = None
        self._is_cut_off = False
        self._lingers_for = 0

    # -- What asyncio calls --

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        address = self.client[0] if self.client else ""
        if is_proxy(address):
            return
        client = counted_as(address)
        if _counts.enter(client):
            self._client_counted = client
        else:
            self._refuse(503, "UNAVAILABLE", "There are too many connections from this address.", retry_after=5)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._client_counted is not None:
            _counts.leave(self._client_counted)
            self._client_counted = None
        self._end_head()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        self.cycle = None  # type: ignore[assignment]  # each holds the other

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more: keep the connection while it waits for an answer."""
        if self._lingers_for or self.cycle is None or self.cycle.response_complete:
            return False
        self._last_exchange().keep_alive = False
        self._cut_off()
        return True

    def data_received(self, data: bytes) -> None:
        if self._lingers_for:
            self._lingers_for -= len(data)
            if self._lingers_for <= 0:
                self.transport.abort()
            return
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self._malformed("This is no HTTP/1.1 request, or its head is too large.")
            return
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._malformed("The head of the request is too large.")
            elif self._head_deadline is None:
                seconds = settings.EVERMUSE_HEAD_TIMEOUT_SECONDS
                self._head_deadline = self.loop.call_later(
                    seconds, self._malformed, "The head of the request did not arrive in time."
                )

    # -- What the parser calls --

    def on_message_begin(self) -> None:
        self._is_in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_head:
            return  # A trailer of a chunked body must not become a header.
        if len(self.headers) >= MAX_HEADERS or len(self.pipeline) >= MAX_PIPELINED:
            raise BadRequest
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """uvicorn's, with an Exchange of ours, and without what we do not serve (WebSockets, a root path)."""
        self._end_head()
        url = httptools.parse_url(self.url)
        if url.path is None or self.parser.get_method() == b"CONNECT":
            raise BadRequest
        if self.parser.should_upgrade():
            return
        version = self.parser.get_http_version()
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = version
        self.scope["raw_path"] = url.path
        self.scope["path"] = url.path.decode("latin-1")
        self.scope["query_string"] = url.query or b""
        before = self.cycle
        self.cycle = Exchange(
            scope=self.scope,
            transport=self,  # type: ignore[arg-type]
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        self.scope["evermuse.exchange"] = self.cycle  # type: ignore[typeddict-unknown-key]
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _decline_upgrade(self, rest: bytes) -> None:
        """Parse the request again without its wish for another protocol (Java's client asks for HTTP/2 with its first
        request): the parser takes what follows such a head for that protocol, and not for a body."""
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                lines.append(b"connection: close" if b"close" in value.lower() else b"connection: keep-alive")
            elif name != b"upgrade":
                lines.append(b"%b: %b" % (name, value))
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join([*lines, b"", b""]) + rest)

    # -- What an exchange calls as its transport --

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def is_closing(self) -> bool:
        return self.transport.is_closing() or self._lingers_for > 0

    def abort(self) -> None:
        self.transport.abort()

    def close(self) -> None:
        """Close after what was written; when a body is still coming, read and drop it for a while first."""
        exchange = self.cycle
        if exchange is None or not exchange.more_body or self._is_cut_off or self.transport.is_closing():
            self._close_or_abort_later()
            return
        self._lingers_for = LINGER_BYTES
        with contextlib.suppress(OSError, RuntimeError):
            self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    # -- The rest --

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # The client does not read its last answer.
        else:
            super().timeout_keep_alive_handler()

    def _close_or_abort_later(self) -> None:
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(settings.EVERMUSE_READER_PAUSE_SECONDS, self.transport.abort)

    def _last_exchange(self) -> RequestResponseCycle:
        return self.pipeline[0][0] if self.pipeline else self.cycle

    def _cut_off(self) -> None:
        """Tell the exchange whose body is not whole that it never will be."""
        last = self._last_exchange()
        if last.more_body and not last.response_complete:
            last.is_cut_off = self._is_cut_off = True  # type: ignore[attr-defined]
            last.keep_alive = False
            last.message_event.set()

    def _end_head(self) -> None:
        self._is_in_head = False
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _malformed(self, message: str) -> None:
        """Refuse a head; if an earlier request is still being answered, close after that answer."""
        self._end_head()
        if self.cycle is None or self.cycle.response_complete:
            self._refuse(400, "INVALID_BODY", message)
            return
        self._cut_off()
        self._last_exchange().keep_alive = False
        self.flow.pause_reading()

    def _refuse(self, status: int, code: str, message: str, *, retry_after: int | None = None) -> None:
        """Answer without the application, and close."""
        answer: dict[str, Any] = {"error": code, "message": message}
        after = b""
        if retry_after is not None:
            answer["retryAfter"] = retry_after
            after = b"retry-after: %d\r\n" % retry_after
        content = json.dumps(answer).encode()
        reason = b"Bad Request" if status == 400 else b"Service Unavailable"
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%bconnection: close\r\n\r\n%b"
            % (status, reason, len(content), after, content)
        )
        self._lingers_for = LINGER_BYTES
        with contextlib.suppress(OSError, RuntimeError):
            self.transport.write_eof()
        self.loop.call_later(1.0, self.transport.abort)
