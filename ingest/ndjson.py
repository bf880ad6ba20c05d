"""NDJSON streams: all rows of a list, one on each line, read page by page. For the API and the admin."""

from collections.abc import Callable, Iterator
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from rest_framework.request import Request
from structlog import contextvars

from evermuse import logs
from evermuse.errors import StoreUnavailable
from ingest import streams

log = logs.get(__name__)

NDJSON = "application/x-ndjson"
# The size of the rows that are read at once. A single row may be larger.
STEP_BYTES = 512 * 1024


def ndjson(
    request: HttpRequest | Request, reader: str, pages: Callable[[Any], tuple[list[bytes], Any]]
) -> StreamingHttpResponse:
    """A stream of all rows. ``pages(place)`` returns rows and the next place, or None at the end.

    Holds one of the reader's places for streams until it is closed. Raises the 429 refusal if there is none. The web
    process (`evermuse.asgi`) sends an answer that has a ``place`` once that is open.
    """
    lines = _Lines(streams.slots.place(reader, request.META.get("evermuse.arrived")), pages)
    answer = StreamingHttpResponse(lines, content_type=NDJSON)
    if not lines.place.is_open():
        answer.place = lines.place  # type: ignore[attr-defined]
    return answer


class _Lines:
    """The lines of a stream. Django calls `close` when the response ends, even if nothing was read."""

    def __init__(self, place: streams.StreamPlace, pages: Callable[[Any], tuple[list[bytes], Any]]) -> None:
        self.place, self._pages = place, pages
        # The rows are read when the request's own context has ended.
        self._request_id = contextvars.get_contextvars().get("request_id")

    def __iter__(self) -> Iterator[bytes]:
        place: Any = None
        while True:
            try:
                rows, place = self._pages(place)
            except StoreUnavailable as error:
                log.error(
                    "stream.cut_off", dependency="objectStore", error=str(error)[:200], request_id=self._request_id
                )
                raise
            if rows:
                yield _joined(rows)
            if place is None:
                return

    def close(self) -> None:
        self.place.give_back()


def _joined(rows: list[bytes]) -> bytes:
    """The rows as lines. Empties the list, which would otherwise stay in memory while the client pauses."""
    rows.append(b"")
    lines = b"\n".join(rows)
    rows.clear()
    return lines
