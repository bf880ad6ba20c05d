"""A web process with its own settings, beside the stack and on its database."""

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
import requests

from deploy.local.child import Child
from tests.journeys.client import HttpClient, answer_of
from tests.journeys.stack import Stack, free_port, until


class Front:
    """One web process, and raw connections to it."""

    def __init__(self, stack: Stack, settings: dict[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        words = [str(self.port) if word == str(stack.port) else word for word in stack.commands["web"].words]
        words[words.index("--workers") + 1] = settings.pop("workers", "1")
        self.child = Child("web", words, stack.environment | settings, log=lambda line: None)
        self.child.start()
        until(self.answers, "the web process answers")

    def answers(self) -> bool:
        """Whether it answers requests."""
        try:
            return requests.get(f"{self.url}/healthz", timeout=10).status_code == 200
        except requests.RequestException:
            return False

    def pid(self) -> int:
        """Returns its first process."""
        until(lambda: self.child.pid is not None, "the web process runs")
        assert self.child.pid is not None
        return self.child.pid

    def workers(self) -> list[int]:
        """Returns its worker processes."""
        found = []
        for child in psutil.Process(self.pid()).children():
            with contextlib.suppress(psutil.Error):
                if "resource_tracker" not in " ".join(child.cmdline()):
                    found.append(child.pid)
        return found

    def connections(self, client_port: int) -> list[object]:
        """Returns its open connections to a port of a client."""
        found = psutil.Process(self.pid()).net_connections("tcp4")
        return [one for one in found if one.raddr and one.raddr.port == client_port and one.status == "ESTABLISHED"]

    def client(self, of: HttpClient) -> HttpClient:
        """Returns a client with the same key for this web process."""
        return HttpClient(self.url, of.key, of.workspace)

    def raw(self, *, source: str = "127.0.0.1", receive_buffer: int | None = None) -> socket.socket:
        """Opens a connection for raw bytes."""
        connection = socket.socket()
        connection.settimeout(30)
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.bind((source, 0))
        connection.connect(("127.0.0.1", self.port))
        return connection

    def close(self) -> None:
        """Kills it, because on SIGTERM it would wait 10 seconds for connections that the test left open."""
        self.child.kill()
        self.child.wait(25)


@pytest.fixture
def new_front(stack: Stack) -> Iterator[Callable[..., Front]]:
    """Starts web processes: ``new_front(EVERMUSE_…="value")``."""
    made: list[Front] = []

    def make(**settings: str) -> Front:
        made.append(Front(stack, settings))
        return made[-1]

    yield make
    for front in made:
        front.close()


def head(method: str, path: str, *lines: str) -> bytes:
    """Returns the head of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""]).encode()


def status_and_body(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """Returns status and body of an answer with a Content-Length."""
    top, _, body = answer_of(connection).partition(b"\r\n\r\n")
    return int(top.split(b" ")[1]), json.loads(body)


def to_the_end(connection: socket.socket) -> bytes:
    """Returns all bytes until a chunked body ends or the connection closes."""
    parts: list[bytes] = []
    while not b"".join(parts[-2:]).endswith(b"\r\n0\r\n\r\n"):
        try:
            part = connection.recv(1 << 20)
        except ConnectionError:
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts)
