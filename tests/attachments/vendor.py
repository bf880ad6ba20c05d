"""A vendor's HTTP server on real sockets that misbehaves in any way that a test needs."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass
class Request:
    """A received request."""

    path: str
    headers: dict[str, str]


@dataclass
class Exchange:
    """A request on one connection; a behaviour answers it with raw bytes."""

    socket: socket.socket
    request: Request
    vendor: "Vendor"
    is_kept: bool = False

    def send(self, content: bytes) -> None:
        """Sends bytes, and ignores that the client may have disconnected."""
        with contextlib.suppress(OSError):
            self.socket.sendall(content)

    def answer(self, body: bytes = b"", *, status: str = "200 OK", **headers: str) -> None:
        """Sends a plain answer; ``Content_Length=""`` omits the header."""
        given = {"Content_Length": str(len(body)), "Content_Type": "application/octet-stream"} | headers
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in given.items() if value)
        self.send(f"HTTP/1.1 {status}\r\n{head}Connection: close\r\n\r\n".encode("latin-1") + body)

    def keep(self, body: bytes) -> None:
        """Sends a plain answer and keeps the connection open for the next request."""
        self.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        self.is_kept = True

    def drip(self, content: bytes, *, every: float) -> None:
        """Sends one byte at a time, until the client disconnects or the test ends."""
        with contextlib.suppress(OSError):
            for byte in content:
                self.socket.sendall(bytes([byte]))
                if self.vendor.closing.wait(every):
                    return

    def drip_parts(self, content: bytes, *, times: int, every: float) -> None:
        """Sends the same bytes several times, with pauses."""
        for _ in range(times):
            self.send(content)
            if self.vendor.closing.wait(every):
                return

    def stall(self) -> None:
        """Keeps the connection open and sends nothing."""
        self.vendor.closing.wait(60)

    def reset(self) -> None:
        """Ends the connection with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


Behaviour = Callable[[Exchange], None]


@dataclass
class Vendor:
    """Answers each path by its behaviour and records every request."""

    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    connections: int = 0
    open_connections: int = 0
    busy: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._listener = socket.create_server((self.host, 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path: str) -> str:
        """Returns the URL of a path."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}{path}"

    def on(self, path: str, behaviour: Behaviour) -> str:
        """Sets the behaviour of a path and returns its URL."""
        self.behaviours[path] = behaviour
        return self.url(path)

    def close(self) -> None:
        """Stops the server and releases all waiting behaviours."""
        self.closing.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self.connections += 1
            self.open_connections += 1
        try:
            with self.tls.wrap_socket(connection, server_side=True) if self.tls else connection as opened:
                while self._serve_one(opened):
                    pass
                with contextlib.suppress(OSError):
                    opened.shutdown(socket.SHUT_WR)
        except OSError:  # a handshake that failed
            pass
        finally:
            with self._lock:
                self.open_connections -= 1

    def _serve_one(self, connection: socket.socket) -> bool:
        """Answers one request; returns whether the connection stays open for another."""
        try:
            request = _read_request(connection)
        except OSError:
            return False
        if request is None:
            return False
        with self._lock:
            self.requests.append(request)
            self.busy += 1
        try:
            exchange = Exchange(connection, request, self)
            behave = self.behaviours.get(request.path)
            if behave is None:
                exchange.answer(b"not here", status="404 Not Found")
            else:
                behave(exchange)
            return exchange.is_kept
        finally:
            with self._lock:
                self.busy -= 1


def _read_request(connection: socket.socket) -> Request | None:
    content = b""
    while b"\r\n\r\n" not in content:
        part = connection.recv(65536)
        if not part:
            return None
        content += part
    head, *lines = content.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(head.split(" ")[1], headers)


@contextlib.contextmanager
def running() -> Iterator[Vendor]:
    """Runs a vendor for the duration of the block."""
    vendor = Vendor()
    try:
        yield vendor
    finally:
        vendor.close()


def ranges(content: bytes, *, etag: str = '"v1"') -> Behaviour:
    """A server that implements Range and If-Range as RFC 9110 defines them."""

    def behave(exchange: Exchange) -> None:
        asked = exchange.request.headers.get("range", "")
        if asked.startswith("bytes=") and exchange.request.headers.get("if-range", etag) == etag:
            start = int(asked[6:].split("-")[0])
            part = content[start:]
            exchange.answer(
                part,
                status="206 Partial Content",
                ETag=etag,
                Content_Range=f"bytes {start}-{len(content) - 1}/{len(content)}",
            )
        else:
            exchange.answer(content, ETag=etag)

    return behave
