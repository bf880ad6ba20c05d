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
_BASE64_LINES = re.compile(rb"(?:[A-Za-z0-9+/]*=*[ \t]*\r*(?:\n|\Z))*+")
_LONG_LINE = re.compile(rb"^[A-Za-z0-9+/]{30,}=*[ \t\r]*$", re.MULTILINE)
_LINK = re.compile(rb"://|@")
# Characters that texts do not contain. Escape and form feed occur in some.
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


_UUENCODE = frozenset({"x-uuencode", "uuencode", "x-uue", "uue"})


def content_of(raw: bytes, encoding: str, *, is_text: bool) -> bytes:
    """The content of a part without its transfer encoding. Unknown encodings count as none."""
    if encoding == "base64":
        return _base64_text(raw) if is_text else _base64(_split_at_trailer(raw)[0])
    if encoding == "quoted-printable":
        return binascii.a2b_qp(raw)
    if encoding in _UUENCODE:
        return _uudecoded(raw)[0]
    return raw


def text_around(raw: bytes, encoding: str) -> bytes:
    """The plain text before and after an encoded file, such as the footer that a mailing list appends."""
    if encoding == "base64":
        return _split_at_trailer(raw)[1]
    return _uudecoded(raw)[1] if encoding in _UUENCODE else b""


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
        head, rest = _split_at_trailer(raw)
        return _joined(_base64(head), rest) if rest else _base64(head)
    head, rest = _split_at_text(raw)
    if _NOT_BASE64.search(rest) is None:
        whole = _base64(raw)
        if _is_text(whole) or len(rest) > _LONG_WORD * len(rest.split()):
            # Only the lines are broken.
            return whole
    decoded = _base64(head)
    if not decoded or _CONTROLS.search(decoded) is not None:
        return raw
    return _joined(decoded, rest)


def _joined(text: bytes, rest: bytes) -> bytes:
    return text + (b"" if text.endswith(b"\n") else b"\n") + rest


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


def _split_at_trailer(raw: bytes) -> tuple[bytes, bytes]:
    """The base64 of a file, and the plain text after it. Text with long lines of base64 is damaged base64."""
    found = _BASE64_LINES.match(raw)
    end = found.end() if found else 0
    rest = raw[end:]
    is_padded = raw[:end].rstrip().endswith(b"=")
    looks_plain = is_padded or _INNER_BLANK.search(rest) or _LINK.search(rest)
    if rest.strip() and not (end and looks_plain and _LONG_LINE.search(rest) is None):
        return raw, b""
    padding = raw.find(b"=", 0, end)
    if padding >= 0:
        head = raw[:end]
        after = head[padding:].lstrip(b"= \t\r\n")
        # A last word on a line of its own looks like base64.
        if after and not _pieces(head, padding) and _LONG_LINE.search(after) is None:
            end -= len(after)
    return raw[:end], raw[end:].strip()


def _uudecoded(raw: bytes) -> tuple[bytes, bytes]:
    """The content of a file, and the plain text before and after it."""
    lines = raw.splitlines()
    begin = next((index for index, line in enumerate(lines) if line.startswith(b"begin ")), -1)
    pieces: list[bytes] = []
    stop = begin + 1
    for index, line in enumerate(lines[begin + 1 :], begin + 1):
        stop = index
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
                return raw, b""
    if not pieces:
        return raw, b""
    after = [line for line in lines[stop + 1 :] if line.strip() not in (b"end", b"`")]
    return b"".join(pieces), b"\n".join([*lines[: max(begin, 0)], *after]).strip()
