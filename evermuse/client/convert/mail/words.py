"""Decodes encoded words (RFC 2047), including words that are split across lines, joined, or malformed."""

import binascii
import re

from evermuse.client.convert.decoding import decoded

# A question mark inside is invalid but common. The bounded length keeps the time linear for a hostile header.
_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?((?:[^?]|\?(?!=)){0,2000}+)\?=")
_GAP = re.compile(r"\s*")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")


def plain(text: str) -> str:
    """The text with its encoded words decoded. White space between two of them is dropped.

    Neighbours with the same character set are joined before decoding, because some writers split characters.
    """
    if "=?" not in text:
        return text
    pieces: list[str] = []
    pending, charset, at = b"", "", 0
    for found in _WORD.finditer(text):
        between = text[at : found.start()]
        if pending and (between.strip() or found[1].lower() != charset):
            pieces.append(decoded(pending, charset))
            pending = b""
        if between.strip() or at == 0:
            pieces.append(between)
        charset = found[1].lower()
        pending += _bytes_of(found[2], found[3])
        at = found.end()
    pieces.extend([decoded(pending, charset), text[at:]])
    return "".join(pieces)


def _bytes_of(encoding: str, text: str) -> bytes:
    raw = text.encode("utf-8", "replace")
    if encoding in "qQ":
        return binascii.a2b_qp(raw.replace(b"\n", b"").replace(b"\r", b""), header=True)
    return unpadded_base64(raw)


def unpadded_base64(raw: bytes) -> bytes:
    """Decode base64 that may lack padding, contain other characters, or be truncated."""
    clean = _NOT_BASE64.sub(b"", raw)
    if len(clean) % 4 == 1:
        clean = clean[:-1]
    return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))
