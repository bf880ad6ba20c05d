"""Decodes the transfer encodings of parts (RFC 2045), including errors of real mailers."""

import binascii
import re

from evermuse.client.convert.mail.words import unpadded_base64

_BASE64_LINE = re.compile(rb"[A-Za-z0-9+/]*={0,2}[ \t\r]*")
_INNER_BLANK = re.compile(rb"^[ \t]*[^\s][^\n]*?[ \t]+[^\s]", re.MULTILINE)
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=\s]")
_QUADS = re.compile(rb"(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)*+")
_PIECE = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
# Words of texts are shorter on average, and lines of base64 longer.
_LONG_WORD = 20
# Characters that texts do not contain. Escape and form feed occur in some.
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def content_of(raw: bytes, encoding: str, *, is_text: bool) -> bytes:
    """The content of a part without its transfer encoding. Unknown encodings count as none."""
    if encoding == "base64":
        return _base64_text(raw) if is_text else _base64(raw)
    if encoding == "quoted-printable":
        return binascii.a2b_qp(raw)
    if encoding in {"x-uuencode", "uuencode", "x-uue", "uue"}:
        return _uudecoded(raw)
    return raw


def _base64(raw: bytes) -> bytes:
    """Decode base64. Some mailers encode piece by piece, so that padding is in the middle. Python stops there."""
    first = raw.find(b"=")
    if first >= 0 and (pieces := _pieces(raw, first)):
        return b"".join(map(binascii.a2b_base64, pieces))
    try:
        return binascii.a2b_base64(raw)
    except binascii.Error:
        return unpadded_base64(raw)


def _pieces(raw: bytes, padding: int) -> list[bytes]:
    """The pieces of base64 that has more after its first padding. Empty if nothing follows, or something else than base64."""
    rest = raw[padding:].lstrip(b"= \t\r\n")
    if not rest or _INNER_BLANK.search(rest) is not None:
        return []
    joined = b"".join(raw.split())
    return _PIECE.findall(joined) if _QUADS.fullmatch(joined) is not None else []


def _base64_text(raw: bytes) -> bytes:
    """A text in base64. Mailing lists append footers in plain text, and some mailers do not encode the text at all."""
    if _INNER_BLANK.search(raw) is None:
        return _base64(raw)
    head, rest = _split_at_text(raw)
    if _NOT_BASE64.search(rest) is None:
        whole = _base64(raw)
        if _is_text(whole) or len(rest) > _LONG_WORD * len(rest.split()):
            # Only the lines are broken.
            return whole
    decoded = _base64(head)
    if not decoded or _CONTROLS.search(decoded) is not None:
        return raw
    return decoded + (b"" if decoded.endswith(b"\n") else b"\n") + rest


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return _CONTROLS.search(raw) is None


def _split_at_text(raw: bytes) -> tuple[bytes, bytes]:
    """The first lines, as long as they are base64, and the other lines."""
    at = 0
    while at < len(raw):
        stop = raw.find(b"\n", at) + 1 or len(raw)
        if _BASE64_LINE.fullmatch(raw, at, stop - 1 if raw[stop - 1] == 10 else stop) is None:
            break
        at = stop
    return raw[:at], raw[at:]


def _uudecoded(raw: bytes) -> bytes:
    lines = raw.splitlines()
    begin = next((index for index, line in enumerate(lines) if line.startswith(b"begin ")), -1)
    pieces: list[bytes] = []
    for line in lines[begin + 1 :]:
        if line.strip() in (b"end", b"`", b""):
            break
        try:
            pieces.append(binascii.a2b_uu(line))
        except binascii.Error:
            # Some writers fill the padding with other characters. Keep those that the declared number of bytes needs.
            wanted = (((line[0] - 32) & 63) * 4 + 5) // 3
            try:
                pieces.append(binascii.a2b_uu(line[:wanted]))
            except binascii.Error:
                return raw
    return b"".join(pieces) if pieces else raw
