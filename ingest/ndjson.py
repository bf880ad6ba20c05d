"""NDJSON streams: all rows of a list, a line each, read step by step, for the API and the admin."""

from collections.abc import Callable, Iterator
from typing import Any

from django.http import StreamingHttpResponse

from ingest import streams

NDJSON = "application/x-ndjson"
# A step's rows are about this large at most; one row may be larger.
STEP_BYTES = 512 * 1024


def ndjson(reader: str, pages: Callable[[Any], tuple[list[bytes], Any]]) -> StreamingHttpResponse:
    """A stream of all rows, a line each, read step by step: ``pages(place)`` gives rows and the next place or None.

    Holds one of the reader's places for streams until it is closed. Raises the 429 refusal when there is none.
    """
    return StreamingHttpResponse(_Lines(reader, pages), content_type=NDJSON)


class _Lines:
    """The lines of a stream. Django closes it with the response, read or not."""

    def __init__(self, reader: str, pages: Callable[[Any], tuple[list[bytes], Any]]) -> None:
        self._reader, self._pages = reader, pages
        self._token = streams.slots.acquire(reader)

    def __iter__(self) -> Iterator[bytes]:
        place: Any = None
        while True:
            rows, place = self._pages(place)
            if rows:
                yield _joined(rows)
            if place is None:
                return

    def close(self) -> None:
        streams.slots.release(self._reader, self._token)


def _joined(rows: list[bytes]) -> bytes:
    """The rows as lines. Empties the list: the generator above would keep the rows while the client pauses."""
    rows.append(b"")
    lines = b"\n".join(rows)
    rows.clear()
    return lines
