"""Decodes Japanese text with the characters that NEC, IBM and Microsoft added. Python's codecs refuse a text with one of them.

All two-byte sets are decoded as Windows' code page 932, like the WHATWG encoding standard does. Invalid bytes become U+FFFD.
"""

import re

_ESCAPE = re.compile(rb"\x1b(\$[@AB]|\$\([CD]|\([BJI])")
_PAIR = re.compile(rb"[!-~]{2}|[^!-~]+|.", re.DOTALL)
_EUC = re.compile(rb"[\x00-\x7f]+|\x8f[\xa1-\xfe]{2}|\x8e[\xa1-\xdf]|[\xa1-\xfe]{2}|.", re.DOTALL)
_HIGH = bytes(byte | 0x80 for byte in range(256))
# Where the second byte of a pair is in another set than JIS X 0208: the codec, and what comes before the pair.
_OTHERS = {b"$A": ("gb2312", b""), b"$(C": ("euc_kr", b""), b"$(D": ("euc_jp", b"\x8f")}


def is_shifted(raw: bytes) -> bool:
    """Whether a text switches to JIS X 0208, as only ISO-2022-JP does."""
    return b"\x1b$B" in raw or b"\x1b$@" in raw


def from_iso_2022_jp(raw: bytes) -> str:
    """Decode ISO-2022-JP. A line feed switches back to ASCII."""
    found: list[str] = []
    for number, line in enumerate(raw.split(b"\n")):
        found.append("\n" if number else "")
        text, *rest = _ESCAPE.split(line)
        found.append(text.decode("ascii", "replace"))
        for charset, text in zip(rest[::2], rest[1::2], strict=True):
            found.append(_decoded(charset, text))
    return "".join(found)


def _decoded(charset: bytes, text: bytes) -> str:
    if charset in (b"(B", b"(J"):
        return text.decode("ascii", "replace")
    if charset == b"(I":
        return text.translate(_HIGH).decode("cp932", "replace")
    if charset in _OTHERS:
        codec, before = _OTHERS[charset]
        return "".join(
            (before + one.translate(_HIGH)).decode(codec, "replace")
            if _is_pair(one)
            else one.decode("ascii", "replace")
            for one in _PAIR.findall(text)
        )
    return "".join(_of_jis(one) if _is_pair(one) else one.decode("ascii", "replace") for one in _PAIR.findall(text))


def _is_pair(text: bytes) -> bool:
    return len(text) == 2 and text[0] > 0x20


def _of_jis(pair: bytes) -> str:
    """The character at a row and cell of JIS X 0208, by its place in code page 932."""
    row, cell = pair[0] - 0x21, pair[1] - 0x21
    first = (0x81 if row < 62 else 0xC1) + row // 2
    second = cell + (0x9F if row % 2 else 0x40 + (cell >= 63))
    return bytes((first, second)).decode("cp932", "replace")


def from_euc_jp(raw: bytes) -> str:
    """Decode EUC-JP."""
    return "".join(map(_of_euc, _EUC.findall(raw)))


def _of_euc(text: bytes) -> str:
    if len(text) == 2 and text[0] >= 0xA1:
        return _of_jis(bytes(byte & 0x7F for byte in text))
    return text.decode("euc_jp", "replace")
