"""A proxy before several web processes: it asks each for its health, and sends new connections to healthy ones in turn."""

import contextlib
import itertools
import socket
import threading
import time

import requests

CHECK_SECONDS = 0.2


class RollingProxy:
    """Forwards TCP connections. Like Caddy, nginx or Kubernetes, it goes by `/readyz`."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        self._healthy: set[int] = set()
        self._turns = itertools.count()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._is_closed = threading.Event()
        for work in (self._accept, *(lambda port=port: self._watch(port) for port in ports)):
            threading.Thread(target=work, daemon=True).start()

    def close(self) -> None:
        """Stops the proxy."""
        self._is_closed.set()
        self._listener.close()

    def is_healthy(self, port: int) -> bool:
        """Whether a process gets connections."""
        return port in self._healthy

    def _watch(self, port: int) -> None:
        while not self._is_closed.is_set():
            try:
                is_healthy = requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
            except requests.RequestException:
                is_healthy = False
            (self._healthy.add if is_healthy else self._healthy.discard)(port)
            time.sleep(CHECK_SECONDS)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        ports = sorted(self._healthy)
        turn = next(self._turns)
        address = ("127.0.0.1", ports[turn % len(ports)])
        with client, contextlib.suppress(OSError), socket.create_connection(address, timeout=10) as web:
            web.settimeout(None)
            back = threading.Thread(target=_copy, args=(web, client), daemon=True)
            back.start()
            _copy(client, web)
            back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
