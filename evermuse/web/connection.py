"""A client's connection: uvicorn's HTTP/1.1 protocol with additional limits.

- The head of a request is limited in bytes, in headers and in time.
- The framing of a chunked body (sizes, extensions, trailers) is limited in bytes.
- Pipelined requests wait unparsed until earlier ones are done.
- A client that closes its sending side after a whole request gets the response. One that closes earlier gets an error.
- Connections are counted by client address.
"""

import asyncio
import time
from typing import Any

import httptools
from django.conf import settings
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from evermuse.web import request_line
from evermuse.web.addresses import ClientCounts, counted_as, is_proxy
from evermuse.web.closing import LINGER_SECONDS, ClosingProtocol
from evermuse.web.exchange import Exchange
from evermuse.web.request_bytes import HEAD_TOO_LARGE, MAX_HEAD_BYTES, BadRequest, RequestBytes, refusal_of
from evermuse.web.upgrade import without_upgrade

MAX_HEADERS = 200
# The most exchanges that wait on a connection before the parser pauses.
MAX_PIPELINED = 16
# Each process has its own, because `spawn` starts workers afresh.
_counts = ClientCounts(settings.EVERMUSE_CONNECTIONS_PER_ADDRESS)


class Connection(ClosingProtocol):
    """A connection to one client. Its exchanges use it as their transport."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], **options: Any) -> None:
        super().__init__(config, server_state, app_state, **options)
        self._client_counted: str | None = None
        self._request = RequestBytes()
        self._head_deadline: asyncio.TimerHandle | None = None
        self._head_method: str | None = None  # the parser may be given another one
        self._running: RequestResponseCycle | None = None
        self._unparsed = b""
        self._has_ended = self._is_broken = False
        # When the current request arrived, in Unix time. The first request of a connection arrives with the connection.
        self._arrived = time.time()

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
        self._unparsed = b""
        super().connection_lost(exc)
        waiting = [exchange for exchange, _ in self.pipeline]
        for exchange in [self._running, *waiting] if self._running else waiting:
            exchange.disconnected = not exchange.response_complete
            exchange.message_event.set()
        self.pipeline.clear()
        self.cycle = self._running = None  # type: ignore[assignment]  # each holds the other

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client has closed its sending side. Keep the connection while it waits for a response."""
        if self._lingers_for or self.cycle is None or self.cycle.response_complete:
            return False
        self._has_ended = True
        self._last_exchange().keep_alive = False
        self._cut_off()
        return True

    def data_received(self, data: bytes) -> None:
        if self._lingers_for:
            self._drop(data)
            return
        if not self._is_broken and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._parse(self._unparsed + data)

    # -- Parsing --

    def _parse(self, data: bytes) -> None:
        """Feed the parser slice by slice. While too many exchanges wait, keep the rest."""
        self._unparsed = b""
        at = 0
        try:
            while at < len(data) and not self.is_closing():
                if len(self.pipeline) >= MAX_PIPELINED:
                    self._hold(data[at:])
                    return
                if self._request.is_between():
                    at, end = request_line.find(data, at)
                    if end is None:
                        self._await_line(data[at:])
                        break
                    self._head_method, part = request_line.mended(data[at:end])
                else:
                    end = self._request.slice_end(data, at)
                    part = data[at:end]
                at = end
                try:
                    self.parser.feed_data(part)
                except httptools.HttpParserUpgrade as upgrade:
                    data, at = self._without_upgrade() + part[upgrade.args[0] :] + data[at:], 0
                    continue
                if (excess := self._request.excess(len(part))) is not None:
                    raise BadRequest(excess)
        except httptools.HttpParserError as error:
            self._malformed(refusal_of(error))
            return
        self._set_timers()

    def _await_line(self, begun: bytes) -> None:
        """Keep the beginning of a request line, because only a whole one can be mended. Raises BadRequest."""
        if len(begun) > MAX_HEAD_BYTES:
            raise BadRequest(HEAD_TOO_LARGE)
        if begun and not self._request.is_in_line:
            self._request.is_in_line = True
            self._note_arrival()
        self._unparsed = begun

    def _without_upgrade(self) -> bytes:
        method = (self._head_method or "").encode() or self.parser.get_method()
        version = self.parser.get_http_version()
        self._new_parser()
        return without_upgrade(method, self.url, version, self.headers)

    def _hold(self, rest: bytes) -> None:
        """Pause parsing and reading until an exchange has ended."""
        self._unparsed = rest
        self.flow.is_held = False
        self.flow.pause_reading()
        self.flow.is_held = True
        self._stop_head_deadline()

    def _set_timers(self) -> None:
        if self._request.is_in_head or self._request.is_in_line:
            if self._head_deadline is None and not self.flow.read_paused:
                self._head_deadline = self.loop.call_later(
                    settings.EVERMUSE_HEAD_TIMEOUT_SECONDS,
                    self._malformed,
                    BadRequest("The head of the request did not arrive in time."),
                )
        elif (self.cycle is None or self.cycle.response_complete) and not self.is_closing():
            # Only empty lines have arrived.
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _new_parser(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    # -- What the parser calls --

    def on_message_begin(self) -> None:
        if not self._request.is_in_line:
            self._note_arrival()
        self._request.begin_head()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._request.is_in_head:
            return  # A trailer of a chunked body must not become a header.
        if len(self.headers) >= MAX_HEADERS:
            raise BadRequest(f"The head of the request has more than {MAX_HEADERS} headers.")
        # Blanks after a value are no part of it (RFC 9110, section 5.5). The parser removes only those before it.
        super().on_header(name, value.rstrip(b" \t"))

    def on_headers_complete(self) -> None:
        """Like uvicorn's, but with our Exchange, and without features that we do not serve (WebSockets, a root path)."""
        self._end_head()
        url = httptools.parse_url(self.url)
        if url.path is None or self.parser.get_method() == b"CONNECT":
            raise BadRequest("The request must name a path.")
        if self.parser.should_upgrade():
            return
        version = self.parser.get_http_version()
        self._request.begin_body(self.headers, version)
        self.scope["method"] = self._head_method or self.parser.get_method().decode("ascii")
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
            expect_100_continue=self.expect_100_continue and version == "1.1",
            keep_alive=version == "1.1" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        self.cycle.arrived = self._arrived
        self.scope["evermuse.exchange"] = self.cycle  # type: ignore[typeddict-unknown-key]
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_body(self, body: bytes) -> None:
        self._request.add_body(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            self._request.is_in_body = False
            super().on_message_complete()

    # -- What an exchange calls as its transport --

    def close(self) -> None:
        """Close after what was written. If a body is still arriving, read and drop it for a while first."""
        exchange = self.cycle
        is_more_coming = self._is_broken or (exchange is not None and exchange.more_body)
        if not is_more_coming or self._has_ended or self.transport.is_closing():
            self._close_or_abort_later()
            return
        self._linger(LINGER_SECONDS)

    def on_response_complete(self) -> None:
        """Like uvicorn's, which starts the next exchange. Then continue parsing."""
        self.flow.is_held = False
        if self._lingers_for:
            self.server_state.total_requests += 1
            self.pipeline.clear()
            return
        super().on_response_complete()
        if self._unparsed and not self._is_broken and not self.is_closing():
            if len(self.pipeline) >= MAX_PIPELINED:
                self._hold(self._unparsed)
            else:
                self._unset_keepalive_if_required()
                self._parse(self._unparsed)
        elif self._request.is_in_head:
            self._unset_keepalive_if_required()
            self._set_timers()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    # -- The rest --

    def _last_exchange(self) -> RequestResponseCycle:
        return self.pipeline[0][0] if self.pipeline else self.cycle

    def _cut_off(self) -> None:
        """Mark the last exchange's body as one that will never be complete."""
        last = self._last_exchange()
        if last.more_body and not last.response_complete:
            last.is_cut_off = True  # type: ignore[attr-defined]
            last.keep_alive = False
            last.message_event.set()

    def _note_arrival(self) -> None:
        if self.cycle is not None:
            self._arrived = time.time()

    def _end_head(self) -> None:
        self._request.is_in_line = self._request.is_in_head = False
        self._stop_head_deadline()

    def _stop_head_deadline(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _malformed(self, refusal: BadRequest) -> None:
        """Refuse a head. If an earlier request is still being served, close after its response."""
        self._end_head()
        self._is_broken, self._unparsed = True, b""
        if self.cycle is None or self.cycle.response_complete:
            self._refuse(refusal.status, refusal.code, str(refusal))
            return
        self._cut_off()
        self._last_exchange().keep_alive = False
        self.flow.pause_reading()
