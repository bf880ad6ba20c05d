"""Content negotiation: answers are JSON, regardless of Accept. Views with streams check for NDJSON."""

from collections.abc import Iterable

from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

JSON, NDJSON = "application/json", "application/x-ndjson"


class IgnoreAccept(BaseContentNegotiation):
    """Always chooses the first renderer: the contract has no 406, and ``?format=`` is a parameter of our own."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        return None

    def select_renderer(  # type: ignore[override]
        self, request: Request, renderers: list[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


def wants_ndjson(request: Request) -> bool:
    """Whether Accept names NDJSON and rates it no lower than JSON.

    A wildcard does not count: clients that want a page send ``*/*``.
    """
    ranges = [_range(part) for part in request.META.get("HTTP_ACCEPT", "").split(",")]
    named = [quality for media_range, quality in ranges if media_range == NDJSON]
    if not named or max(named) <= 0:
        return False
    return max(named) >= _quality_of_json(ranges)


def _quality_of_json(ranges: list[tuple[str, float]]) -> float:
    """The quality of the range that names JSON, else 0 (RFC 9110, 12.5.1)."""
    return max((quality for media_range, quality in ranges if media_range == JSON), default=0.0)


def _range(part: str) -> tuple[str, float]:
    """A media range and its quality. A missing or invalid quality is 1."""
    media_range, *parameters = part.split(";")
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                quality = min(max(float(value.strip()), 0.0), 1.0)
            except ValueError:
                quality = 1.0
    return media_range.strip().lower(), quality
