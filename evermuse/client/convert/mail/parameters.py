"""Parses the parameters of Content-Type and Content-Disposition (RFC 2045, 2231). Accepts the errors of real mailers."""

import re
from urllib.parse import unquote_to_bytes

from evermuse.client.convert.decoding import decoded
from evermuse.client.convert.mail.words import plain

_PIECE = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*+(?:"|$))*+', re.DOTALL)
_CONTINUED = re.compile(r"([^*]+)\*(?:(\d{1,3})(\*)?)?")
_ESCAPED = re.compile(r'\\(["\\])')


def with_parameters(value: str) -> tuple[str, dict[str, str]]:
    """The value before the first semicolon, in lower case, and its parameters by name in lower case."""
    value = value[:20_000]
    found, at = [], 0
    while at <= len(value):
        piece = _PIECE.match(value, at)
        stop = piece.end() if piece else len(value)
        found.append(value[at:stop])
        at = stop + 1
    return found[0].strip().lower(), _joined([_pair(piece) for piece in found[1:] if "=" in piece])


def _pair(piece: str) -> tuple[str, str]:
    name, _, value = piece.partition("=")
    value = value.strip()
    if value.startswith('"'):
        value = _ESCAPED.sub(r"\1", value[1:].removesuffix('"'))
    return name.strip().lower(), value


def _joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Joins continued and encoded parameters. They take precedence over a plain parameter with the same name."""
    simple: dict[str, str] = {}
    parts: dict[str, dict[int, tuple[str, bool]]] = {}
    for name, value in pairs:
        found = _CONTINUED.fullmatch(name)
        if found is None:
            simple.setdefault(name, plain(value))
        else:
            is_encoded = found[2] is None or found[3] is not None
            parts.setdefault(found[1], {}).setdefault(int(found[2] or 0), (value, is_encoded))
    for name, numbered in parts.items():
        simple[name] = _extended([numbered[number] for number in sorted(numbered)])
    return simple


def _extended(values: list[tuple[str, bool]]) -> str:
    charset, raw = "", b""
    for index, (value, is_encoded) in enumerate(values):
        if not is_encoded:
            raw += value.encode("utf-8", "replace")
            continue
        pieces = value.split("'", 2) if index == 0 else []
        if len(pieces) == 3:
            charset = pieces[0]
        raw += unquote_to_bytes(pieces[2] if len(pieces) == 3 else value)
    return decoded(raw, charset or None)
