"""One connection to a vendor. It sends requests byte for byte as they are given, and returns bodies as they are sent."""

import contextlib
import select
import socket
import ssl
from collections.abc import Iterator

from attachments.download_failures import transient
from attachments.fetch import http_head
from attachments.fetch.http_chunks import Chunks
from attachments.fetch.http_head import Framing, Head

CHUNK_BYTES = 256 * 1024
HEAD_BYTES = 64 * 1024
# The most interim responses (1xx) before the final one. A server may send one a second while it works (102).
MAX_INTERIM = 500


class VendorConnection:
    """Serves one request at a time. ``kept_at``: when the previous response ended, or None for a new connection.

    Raises OSError and DownloadFailed.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.kept_at: float | None = None
        # Whether any byte of the current response has arrived.
        self.has_answered = False
        # Whether another request may follow: the response ended properly, and no bytes follow it.
        self.is_reusable = False
        self._buffer = bytearray()
        self._framing: Framing | None = None

    @property
    def is_quiet(self) -> bool:
        """Whether nothing unexpected waits to be read: neither bytes nor the end of the connection."""
        if self._buffer or (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()):
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)

    def ask(self, request: bytes) -> Head:
        """Send a request and return the head of its final response."""
        self.has_answered = self.is_reusable = False
        self.sock.sendall(request)
        left = http_head.MAX_HEAD_BYTES
        for _ in range(MAX_INTERIM + 1):
            content = self._head(left)
            left -= len(content)
            head = http_head.parse(content)
            if head.status == 101:
                raise http_head.bad("a switch of protocols that was not requested", 101)
            if head.status >= 200:
                self._framing = http_head.framing(head)
                return head
        raise http_head.bad(f"more than {MAX_INTERIM} interim answers")

    @property
    def announced(self) -> int | None:
        """The body's length in bytes by its header, or None."""
        return self._framing.length if self._framing else None

    def body(self) -> Iterator[bytes]:
        """The response's body. Read it once. Raises if the body is incomplete."""
        assert self._framing
        if self._framing.is_chunked:
            yield from self._chunked(self._framing)
        elif self._framing.length is not None:
            yield from self._counted(self._framing, self._framing.length)
        else:
            if self._buffer:
                yield self._taken()
            while content := self.sock.recv(CHUNK_BYTES):
                yield content

    def skip_body(self) -> None:
        """Skip the body if all of it has arrived, so that the connection can be reused."""
        if self._framing and self._framing.length == len(self._buffer):
            self._taken()
            self.is_reusable = self._framing.is_kept

    def close(self) -> None:
        """Close the connection."""
        self.is_reusable = False
        with contextlib.suppress(OSError):
            self.sock.close()

    def _head(self, at_most: int) -> bytes:
        looked = 0
        while (end := http_head.end_of_head(self._buffer, looked)) < 0:
            if not http_head.may_begin(self._buffer):
                raise http_head.bad("it does not begin with HTTP/1")
            if len(self._buffer) > at_most:
                raise http_head.bad(f"more than {http_head.MAX_HEAD_BYTES} bytes of headers")
            looked = len(self._buffer)
            content = self.sock.recv(HEAD_BYTES)
            if not content:
                raise ConnectionAbortedError("the server closed the connection without a response")
            self.has_answered = True
            self._buffer += content
        if not http_head.may_begin(self._buffer):
            raise http_head.bad("it does not begin with HTTP/1")
        if end > at_most:
            raise http_head.bad(f"more than {http_head.MAX_HEAD_BYTES} bytes of headers")
        head = bytes(self._buffer[:end])
        del self._buffer[:end]
        return head

    def _taken(self) -> bytes:
        content = bytes(self._buffer)
        self._buffer.clear()
        return content

    def _counted(self, framing: Framing, length: int) -> Iterator[bytes]:
        left = length - len(self._buffer)
        if left < 0:
            # Bytes after the file are not part of it. The connection is not reused.
            yield bytes(self._buffer[:length])
            return
        if self._buffer:
            yield self._taken()
        while left:
            content = self.sock.recv(min(left, CHUNK_BYTES))
            if not content:
                raise transient("TRUNCATED", f"the body ended after {length - left} of {length} bytes", 200)
            left -= len(content)
            yield content
        self.is_reusable = framing.is_kept

    def _chunked(self, framing: Framing) -> Iterator[bytes]:
        chunks, received = Chunks(), self._taken()
        while True:
            if content := chunks.feed(received):
                yield content
            if chunks.is_complete:
                self.is_reusable = framing.is_kept and not chunks.rest
                return
            received = self.sock.recv(CHUNK_BYTES)
            if not received:
                chunks.end()
                return
