"""Content negotiation: answers are JSON whatever Accept says; NDJSON is chosen by the views that offer it."""

from collections.abc import Iterable

from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

NDJSON = "application/x-ndjson"


class IgnoreAccept(BaseContentNegotiation):
    """The first renderer always: the contract knows no 406, and ``?format=`` is ours."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        return None

    def select_renderer(  # type: ignore[override]
        self, request: Request, renderers: list[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


def wants_ndjson(request: Request) -> bool:
    """Whether the client asks for one JSON value a line."""
    return any(part.split(";")[0].strip().lower() == NDJSON for part in request.META.get("HTTP_ACCEPT", "").split(","))
