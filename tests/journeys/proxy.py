"""A proxy before the object store that passes data, loses answers, answers 503, swallows requests, or refuses connections."""

import contextlib
import socket
import threading

PASS, BUSY, SILENT, CLOSED = "pass", "answers 503", "swallows everything", "closes at once"
# The store receives the requests, but its answers are lost.
DEAF = "loses its answers"
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class StoreProxy:
    """Forwards TCP connections. Its mode can be switched at any time, also for open connections."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self.mode = PASS
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.endpoint = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def switch(self, mode: str) -> None:
        """Switches the mode and cuts open connections."""
        self.mode = mode
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stops the proxy."""
        self._listener.close()
        self.switch(CLOSED)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
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
            store.settimeout(None)
            self._open.add(store)
            back = threading.Thread(target=_copy, args=(store, None if self.mode == DEAF else client), daemon=True)
            back.start()
            _copy(client, store)
            back.join()
            self._open.discard(store)


def _copy(source: socket.socket, sink: socket.socket | None) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            if sink is not None:
                sink.sendall(part)
    if sink is not None:
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
