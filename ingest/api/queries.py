"""Query parameters with their rules, and signed cursors."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from django.conf import settings
from rest_framework.request import Request

from ingest.refusals import Refusal, invalid_body

DEFAULT_LIMIT, MAX_LIMIT = 20, 100
MAX_CURSOR = 256


def known(request: Request, names: Iterable[str]) -> dict[str, str]:
    """The given parameters. Raises 400 for an unknown or repeated one, and for one that is not UTF-8."""
    _require_utf8(request.META.get("QUERY_STRING", ""))
    allowed = list(names)
    found: dict[str, str] = {}
    for name, values in request.query_params.lists():
        if name not in allowed:
            raise invalid_body(f"Unknown query parameter {name[:64]!r}; known: {', '.join(allowed)}.")
        if len(values) > 1:
            raise invalid_body(f"{name} is given more than once.")
        found[name] = str(values[0])
    return found


def _require_utf8(query: str) -> None:
    """Django reads such bytes as U+FFFD, or the whole query as Latin-1: the filter would match other records."""
    for parameter in query.split("&"):
        try:
            unquote_to_bytes(parameter.encode("latin-1")).decode()
        except UnicodeDecodeError:
            name = parameter.partition("=")[0]
            raise invalid_body(f"The query parameter {name[:64]!r} is not percent-encoded UTF-8.") from None


def limit(parameters: dict[str, str]) -> int:
    """``limit``: 1 to 100, by default 20."""
    text = parameters.get("limit")
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_LIMIT):
        raise invalid_body(f"limit must be a whole number from 1 to {MAX_LIMIT}.")
    return int(text)


def choice(parameters: dict[str, str], name: str, allowed: Iterable[str]) -> str | None:
    """The value of a parameter that has a fixed list of values. Raises 400 for another one."""
    value = parameters.get(name)
    values = list(allowed)
    if value is not None and value not in values:
        raise invalid_body(f"{name} must be one of {', '.join(values)}.")
    return value


class Cursor:
    """Opaque positions in a list, signed for one workspace and one list. Any other cursor is refused."""

    def __init__(self, *scope: object) -> None:
        self._scope = json.dumps([str(part) for part in scope]).encode()

    def encode(self, place: list[Any]) -> str:
        """The cursor of a position."""
        content = json.dumps(place, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._seal(content) + content).decode().rstrip("=")

    def decode(self, text: str | None) -> list[Any] | None:
        """The position of a cursor that `encode` made for this list. Raises 400 for any other text."""
        if text is None:
            return None
        if len(text) <= MAX_CURSOR and text.isascii():
            try:
                sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            except ValueError:
                raise _bad_cursor() from None
            if hmac.compare_digest(sealed[:12], self._seal(sealed[12:])):
                place = list(json.loads(sealed[12:]))
                # Base64 can write the same bytes in several ways. Only the one that `encode` makes is accepted.
                if self.encode(place) == text:
                    return place
        raise _bad_cursor()

    def _seal(self, content: bytes) -> bytes:
        key = hashlib.sha256(b"cursor:" + settings.SECRET_KEY.encode()).digest()
        return hmac.digest(key, self._scope + b"\0" + content, "sha256")[:12]


def _bad_cursor() -> Refusal:
    return invalid_body("cursor does not belong to this list of this workspace.")
