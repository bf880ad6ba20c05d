"""Ends connections so that the last response arrives, and so that the client can tell if it did not.

If a response is sent before the request's body has ended, the rest of the body is read and dropped for a while. Closing
at once would make the kernel reset the connection and discard the response.
"""

import asyncio
import contextlib
import json
import socket
import struct
from http import HTTPStatus
from typing import Any

from django.conf import settings
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

# The most bytes that are read and dropped after an early response. Some clients read nothing until they have sent the
# whole body.
LINGER_BYTES, LINGER_SECONDS = 64 * 1024 * 1024, 10.0

# SO_LINGER: on, for 0 seconds.
_NO_LINGER = struct.pack("ii", 1, 0)


class Flow(FlowControl):
    """uvicorn's flow control, in which reading stays paused while ``is_held``."""

    is_held = False

    def pause_reading(self) -> None:
        if not self._transport.is_closing():
            super().pause_reading()

    def resume_reading(self) -> None:
        if not self.is_held and not self._transport.is_closing():
            super().resume_reading()


class ClosingProtocol(HttpToolsProtocol):
    """uvicorn's protocol. An exchange can write to it and close it like a transport."""

    flow: Flow

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], **options: Any) -> None:
        super().__init__(config, server_state, app_state, **options)
        self._lingers_for = 0
        self._is_lost = False
        self._holds_next = False
        self._held = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = Flow(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        super().connection_lost(exc)

    def write(self, data: bytes) -> None:
        if self._holds_next and not self._held:
            self._held = data
            self.loop.call_soon(self._write_held)
        elif not self.transport.is_closing():  # else the client has gone, and the exchange learns it from asyncio
            self.transport.write(self._held + data)
            self._held = b""
        self._holds_next = False

    def hold_next(self) -> None:
        """Send what is written next together with what follows at once: a head and its body arrive in one packet."""
        self._holds_next = True

    def _write_held(self) -> None:
        if self._held and not self.transport.is_closing():
            self.transport.write(self._held)
        self._held = b""

    def is_closing(self) -> bool:
        return self.transport.is_closing() or self._lingers_for > 0

    def abort(self) -> None:
        self.transport.abort()

    def reset(self) -> None:
        """Abort so that the client sees an error and not a normal end."""
        if not self._is_lost:  # else another connection may have the same file descriptor
            with contextlib.suppress(OSError):
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self.transport.abort()

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # The client does not read its last answer.
        else:
            super().timeout_keep_alive_handler()

    def _close_or_abort_later(self) -> None:
        self._write_held()
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(settings.EVERMUSE_READER_PAUSE_SECONDS, self.reset)

    def _refuse(self, status: int, code: str, message: str, *, retry_after: int | None = None) -> None:
        """Send a refusal without the application, and close."""
        answer: dict[str, Any] = {"error": code, "message": message}
        after = b""
        if retry_after is not None:
            answer["retryAfter"] = retry_after
            after = b"retry-after: %d\r\n" % retry_after
        self._write_held()
        content = json.dumps(answer).encode()
        reason = HTTPStatus(status).phrase.encode()
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%bconnection: close\r\n\r\n%b"
            % (status, reason, len(content), after, content)
        )
        self._linger(1.0)

    def _linger(self, seconds: float) -> None:
        """Close our side. Read and drop what arrives for a while."""
        self._lingers_for = LINGER_BYTES
        self._write_held()
        with contextlib.suppress(OSError, RuntimeError):
            self.transport.write_eof()
        self.flow.is_held = False
        self.flow.resume_reading()
        self.loop.call_later(seconds, self.transport.abort)

    def _drop(self, data: bytes) -> None:
        self._lingers_for -= len(data)
        if self._lingers_for <= 0:
            self.transport.abort()
