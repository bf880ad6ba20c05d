"""A proxy before the object store that passes data, loses answers, answers 503, swallows requests, or refuses connections."""

import contextlib
import socket

from tests.journeys.forwarding import Listener, both_ways

PASS, BUSY, SILENT, CLOSED = "pass", "answers 503", "swallows everything", "closes at once"
# The store receives the requests, but its answers are lost.
DEAF = "loses its answers"
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class StoreProxy(Listener):
    """Forwards TCP connections. Its mode can be switched at any time, also for open connections."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self.mode = PASS
        self._open: set[socket.socket] = set()
        super().__init__()

    def switch(self, mode: str) -> None:
        """Switches the mode and cuts open connections."""
        self.mode = mode
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stops the proxy."""
        super().close()
        self.switch(CLOSED)

    def serve(self, client: socket.socket) -> None:
        """Serves one connection as the mode says."""
        self._open.add(client)
        try:
            if self.mode in (PASS, DEAF):
                self._forward(client)
            elif self.mode == SILENT:
                while client.recv(65536):
                    pass
            elif self.mode == BUSY:
                client.recv(65536)
                client.sendall(_BUSY)
        finally:
            self._open.discard(client)

    def _forward(self, client: socket.socket) -> None:
        with socket.create_connection(self._target, timeout=10) as store:
            self._open.add(store)
            both_ways(client, store, answers=self.mode != DEAF)
            self._open.discard(store)
