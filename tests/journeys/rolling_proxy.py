"""A proxy before several web processes: it asks each for its health, and sends new connections to healthy ones in turn."""

import itertools
import socket
import threading
import time

import requests

from tests.journeys.forwarding import Listener, both_ways

# Far below the time for which a process that is to stop still serves.
CHECK_SECONDS = 0.5


class RollingProxy(Listener):
    """Forwards TCP connections. Like Caddy, nginx or Kubernetes, it goes by `/readyz`."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        self._healthy: set[int] = set()
        self._turns = itertools.count()
        self._is_closed = threading.Event()
        super().__init__()
        self.url = f"http://{self.endpoint}"
        for port in ports:
            threading.Thread(target=self._watch, args=(port,), daemon=True).start()

    def close(self) -> None:
        """Stops the proxy."""
        self._is_closed.set()
        super().close()

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

    def serve(self, client: socket.socket) -> None:
        """Forwards one connection to the next healthy process."""
        ports = sorted(self._healthy)
        turn = next(self._turns)
        with socket.create_connection(("127.0.0.1", ports[turn % len(ports)]), timeout=10) as web:
            both_ways(client, web)
