"""The front: proves that a request's body is whole before Django sees it, then runs Django's WSGI handler in a thread.

Why not WSGI to the socket: a server's WSGI side ends a cut-off chunked body silently, shows a chunked body to Django as
an empty one, and lets a client that stalls in mid-body hold a thread. Here bodies are read by the event loop, with a
limit and a deadline; only complete ones reach a thread. A body that was cut off is never handed on.
"""

import asyncio
import contextlib
import io
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote_to_bytes

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connections

from evermuse import serving
from evermuse.asgi_body import COMPLETE, MAX_SENT_BYTES, Disconnected, Message, Receive, Send, read_body
from evermuse.collector import settle as settle_collector

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "evermuse.settings")

serving.demand()
django = get_wsgi_application()
# A thread that comes back from the database waits for the interpreter's lock: at the default of 5 ms a turn, eight threads
# spend their time in this queue.
sys.setswitchinterval(0.0005)
# No "SELECT 1" before every request: the lookup of the key, which comes first, finds a dead connection and opens another.
connections.settings["default"]["CONN_HEALTH_CHECKS"] = False
settle_collector()
_threads = ThreadPoolExecutor(settings.EVERMUSE_WEB_THREADS, thread_name_prefix="web")


def environ(scope: Message, body: bytes, ending: str) -> dict[str, Any]:
    """The WSGI environ (PEP 3333) of an ASGI HTTP scope."""
    server = scope.get("server") or ("127.0.0.1", 80)
    client = scope.get("client") or ("", 0)
    raw_path = unquote_to_bytes(scope.get("raw_path") or scope["path"].encode())
    values: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": raw_path.decode("latin-1"),
        "QUERY_STRING": scope.get("query_string", b"").decode("latin-1"),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or 80),
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "REMOTE_ADDR": client[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "evermuse.body": ending,
    }
    for name, value in scope["headers"]:
        key = name.decode("latin-1").upper().replace("-", "_")
        if key == "CONTENT_TYPE":
            values[key] = value.decode("latin-1")
        elif key not in {"CONTENT_LENGTH", "TRANSFER_ENCODING"}:
            key = f"HTTP_{key}"
            text = value.decode("latin-1")
            values[key] = f"{values[key]},{text}" if key in values else text
    values["CONTENT_LENGTH"] = str(len(body))
    return values


class _Exchange:
    """One request in a thread: runs Django and hands the answer back to the event loop, streams included."""

    def __init__(self, send: Send, loop: asyncio.AbstractEventLoop) -> None:
        self.send, self.loop = send, loop
        self.start: Message = {}

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
        self.start = {
            "type": "http.response.start",
            "status": int(status.split(" ", 1)[0]),
            "headers": [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers],
        }

    def run(self, values: dict[str, Any]) -> bytes | None:
        """The whole body of an ordinary answer; a streaming one is sent from here and gives None."""
        response: Iterable[bytes] = django(values, self.start_response)  # type: ignore[arg-type]
        try:
            if not getattr(response, "streaming", False):
                return b"".join(response)
            self.tell(self.start)
            for part in response:
                self.tell({"type": "http.response.body", "body": part, "more_body": True})
            self.tell({"type": "http.response.body", "body": b"", "more_body": False})
            return None
        finally:
            getattr(response, "close", lambda: None)()

    def tell(self, message: Message) -> None:
        """Send from the thread and wait, so that a slow reader slows the producer instead of filling memory."""
        asyncio.run_coroutine_threadsafe(self._send(message), self.loop).result(60)

    async def _send(self, message: Message) -> None:
        await self.send(message)


async def _tell_cut_off(send: Send) -> None:
    """To a client that closed only its own side; who is gone altogether does not hear it."""
    content = b'{"error": "INVALID_BODY", "message": "The body was cut off before its end: nothing was stored."}'
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    with contextlib.suppress(Exception):  # granian's error for a lost connection has no public name
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": content, "more_body": False})


async def application(scope: Message, receive: Receive, send: Send) -> None:
    """The ASGI entry that granian runs."""
    if scope["type"] != "http":
        return
    try:
        body, ending = await read_body(receive, limit=MAX_SENT_BYTES, seconds=settings.EVERMUSE_BODY_TIMEOUT_SECONDS)
    except Disconnected:
        await _tell_cut_off(send)
        return
    loop = asyncio.get_running_loop()
    exchange = _Exchange(send, loop)
    content = await loop.run_in_executor(_threads, exchange.run, environ(scope, body, ending))
    if content is not None:
        if ending != COMPLETE:
            exchange.start["headers"].append((b"connection", b"close"))
        await send(exchange.start)
        await send({"type": "http.response.body", "body": content, "more_body": False})
