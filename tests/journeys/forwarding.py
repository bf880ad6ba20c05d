"""What proxies of TCP connections share: they accept, and copy bytes in both directions."""

import contextlib
import socket
import threading


class Listener:
    """Accepts connections at a free port of 127.0.0.1, and serves each in a thread of its own."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.endpoint = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def serve(self, client: socket.socket) -> None:
        """Serves one connection. It is closed afterwards."""
        raise NotImplementedError

    def close(self) -> None:
        """Accepts no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            self.serve(client)


def both_ways(client: socket.socket, server: socket.socket, *, answers: bool = True) -> None:
    """Copies until both sides have ended. ``answers``: whether the client gets what the server sends."""
    server.settimeout(None)
    back = threading.Thread(target=_copy, args=(server, client if answers else None), daemon=True)
    back.start()
    _copy(client, server)
    back.join()


def _copy(source: socket.socket, sink: socket.socket | None) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            if sink is not None:
                sink.sendall(part)
    if sink is not None:
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
