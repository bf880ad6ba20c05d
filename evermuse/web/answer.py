"""A response on its way to the client: from Django, or a refusal without Django."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from evermuse import ended_connections
from evermuse.asgi_body import Message
from evermuse.errors import Refused
from evermuse.web import places
from evermuse.web.answers import PIECE_BYTES

# Refusals without Django.
CUT_OFF = (400, "INVALID_BODY", "The body was cut off before its end: nothing was stored.")
NO_ROOM = (503, "UNAVAILABLE", "Too many bodies are arriving at once. Send the request again.")
FAULT = (500, "INTERNAL_ERROR", "An internal error occurred. Send the request again.")
TOO_MANY = (503, "UNAVAILABLE", "Too many requests are being handled for this address.")


@dataclass(slots=True)
class HttpAnswer:
    """Django's response: its ASGI start, and its content or the steps that produce it."""

    start: Message = field(default_factory=dict)
    content: bytes = b""
    steps: Iterator[bytes] | None = None
    # What a stream waits for before it starts, if anything.
    place: places.AnswerPlace | None = None
    close: Callable[[], None] = lambda: None

    def take(self) -> bytes:
        """Return the content, and drop the reference to it."""
        content, self.content = self.content, b""
        return content

    def step(self) -> bytes:
        """The next bytes of a stream, at least a piece, or b"" at the end."""
        assert self.steps is not None
        # Each step may run in another thread, with a connection of its own.
        ended_connections.close()
        parts: list[bytes] = []
        size = 0
        for part in self.steps:
            parts.append(part)
            size += len(part)
            if size >= PIECE_BYTES:
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)


def refusal(status: int, code: str, message: str, *, retry_after: int | None = None) -> HttpAnswer:
    """A refusal, without Django."""
    return refused_answer(Refused(status, code, message, retry_after=retry_after))


def refused_answer(refused: Refused) -> HttpAnswer:
    """The response for a refused request."""
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if refused.retry_after is not None:
        headers.append((b"retry-after", b"%d" % refused.retry_after))
    content = json.dumps(refused.body()).encode()
    headers.append((b"content-length", b"%d" % len(content)))
    return HttpAnswer({"type": "http.response.start", "status": refused.status, "headers": headers}, content)
