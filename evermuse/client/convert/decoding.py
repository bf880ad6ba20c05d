"""Decodes bytes whose declared character set may be missing, unknown or wrong."""

import codecs
import re
from functools import lru_cache

from evermuse.client.convert import japanese
from evermuse.client.convert.rejects import sound_text

# Names that are in use beside the registered ones, and sets for which a superset is safer: writers declare the smaller
# one and use the characters of the larger one. The WHATWG encoding standard has the same supersets.
_ALIASES = {
    "ansi-x3.4-1968": "ascii", "ascii": "ascii", "us-ascii": "ascii", "iso-8859-1": "cp1252", "iso8859-1": "cp1252",
    "latin1": "cp1252", "latin-1": "cp1252", "iso-8859-1-windows-3.1-latin-1": "cp1252", "iso-8859-9": "cp1254",
    "iso-8859-11": "cp874", "tis-620": "cp874", "windows-874": "cp874", "gb2312": "gb18030", "gbk": "gb18030",
    "x-gbk": "gb18030", "gb-2312-80": "gb18030", "gb2312-charset": "gb18030", "chinesebig5": "big5hkscs",
    "big5": "big5hkscs", "x-x-big5": "big5hkscs", "ks-c-5601-1987": "cp949", "ks-c-5601": "cp949", "euc-kr": "cp949",
    "ksc5601": "cp949", "shift-jis": "cp932", "x-sjis": "cp932", "sjis": "cp932", "ms-kanji": "cp932",
    "iso-8859-8-i": "iso8859-8", "iso-8859-8-e": "iso8859-8", "unicode-1-1-utf-7": "utf-7", "unicode-1-1-utf-8": "utf-8",
    "x-mac-roman": "mac-roman", "macintosh": "mac-roman", "x-mac-cyrillic": "mac-cyrillic", "unicode": "utf-16",
    "ucs-2": "utf-16", "utf8mb4": "utf-8", "x-utf-8": "utf-8", "cp-850": "cp850", "x-euc-jp": "euc-jp", "cp51932": "euc-jp",
    "eucjp-ms": "euc-jp", "eucjp-win": "euc-jp", "iso-2022-jp-ms": "iso-2022-jp", "cp50220": "iso-2022-jp",
    "cp50221": "iso-2022-jp", "cp50222": "iso-2022-jp",
}  # fmt: skip
# Codecs that are not character sets, or that take more than linear time.
_REFUSED = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"})
# A valid multi-byte sequence of UTF-8 is meaningless in these sets, so trust the bytes over the declaration. In Thai sets such
# a sequence may be a word.
_ALPHABETIC = re.compile(r"ascii|iso8859-(?!11)|cp125|koi8|mac|cp(?:437|85|86)")
_CONTROLS, _WINDOWS = "evermuse.controls", "evermuse.windows"
_JAPANESE = "iso2022_jp"
_SEVEN_BIT = ("iso2022", "hz", "utf-7")
_OF_UTF8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_ASCII = bytes(range(128))
_SPLIT = re.compile(r"[\s\"'();,*]+")
# The bytes at the beginning of a text that show whether it is UTF-16.
_UTF16_HEAD_BYTES = 4096


def decoded(raw: bytes, charset: str | None = None) -> str:
    """Decode bytes. Never fails: bytes that are invalid in their set become U+FFFD, and so do lone surrogates. A leading byte order mark is removed.

    Order: a byte order mark, the declared set (UTF-8 where a set of one alphabet was declared and UTF-8 fits), UTF-16 by its
    zero bytes, ISO-2022-JP by its escapes, UTF-8, UTF-8 with single bytes of Windows-1252 (a truncated text, or one that a
    mailing list added to), Windows-1252.
    """
    if not charset and b"\0" in raw:
        charset = unmarked_utf16(raw)
    if raw.isascii() and (
        b"\x1b" not in raw and (not charset or (b"\x00" not in raw and b"+" not in raw and b"~" not in raw))
    ):
        return raw.decode("ascii")
    if raw.startswith(codecs.BOM_UTF8):
        raw, charset = raw[3:], "utf-8"
    elif raw.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        charset = "utf-32"
    elif raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        charset = "utf-16"
    name = known_codec(charset) if charset else None
    if raw.isascii() and japanese.is_shifted(raw) and not (name and name.startswith(_JAPANESE)):
        name = _JAPANESE
    for codec in _candidates(raw, name):
        try:
            return _sound(raw.decode(codec), codec).removeprefix("\ufeff")
        except (UnicodeDecodeError, ValueError):
            continue
    return _decoded_in_part(raw, name)


def _decoded_in_part(raw: bytes, name: str | None) -> str:
    """Decode bytes that are not all valid. ``name``: the declared codec."""
    if name and name.startswith(_JAPANESE):
        return japanese.from_iso_2022_jp(raw)
    if name == "euc_jp":
        return japanese.from_euc_jp(raw)
    if name == "utf-7":
        return _sound(raw.decode(name, _CONTROLS), name)
    if name and name not in {"ascii", "cp1252", "utf-8"}:
        return raw.decode(name, "replace")
    valid = sum(map(len, _OF_UTF8.findall(raw)))
    if 2 * valid > len(raw.translate(None, _ASCII)):
        return raw.decode("utf-8", _WINDOWS)
    return raw.decode("cp1252", _CONTROLS)


def _sound(text: str, codec: str) -> str:
    """The text without lone surrogates. Of Python's codecs only UTF-7 gives them, and no file or database takes them."""
    return sound_text(text) if codec == "utf-7" else text


def _control(error: UnicodeError) -> tuple[str, int]:
    """Fills the five holes of Windows-1252 with control characters, as the WHATWG encoding standard does."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


def _windows(error: UnicodeError) -> tuple[str, int]:
    """Reads bytes that are no UTF-8 as Windows-1252."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", _CONTROLS), error.end


codecs.register_error(_CONTROLS, _control)
codecs.register_error(_WINDOWS, _windows)


def _candidates(raw: bytes, name: str | None) -> list[str]:
    if name is None or _ALPHABETIC.match(name):
        return ["utf-8", *([name] if name else [])]
    if name.startswith(_SEVEN_BIT) and raw.isascii():
        # Every text in these sets is valid UTF-8 too.
        return [name]
    if name.startswith(_JAPANESE):
        # Some mailers name this set, and send another Japanese one.
        return [name, "utf-8", "euc_jp", "cp932"]
    return [name, "utf-8"]


def unmarked_utf16(raw: bytes) -> str | None:
    """The codec of a text in UTF-16 without a byte order mark, or None.

    In UTF-16 each ASCII character has one zero byte, always on the same side. Few other characters have a zero byte.
    """
    head = raw[: _UTF16_HEAD_BYTES & ~1]
    first, second = head[::2].count(0), head[1::2].count(0)
    enough = max(2, len(head) // 10)
    if second >= enough and second > 8 * first:
        return "utf-16-le"
    if first >= enough and first > 8 * second:
        return "utf-16-be"
    return None


@lru_cache(256)
def known_codec(charset: str) -> str | None:
    """Python's name of a character set, or None if it has no such set."""
    words = _SPLIT.split(charset.strip(" \t\"'").lower()[:60])
    plain = words[0].split("$")[0].replace("_", "-") if words else ""
    name = _ALIASES.get(plain, plain)
    try:
        codec = codecs.lookup(name).name
        # Refuses codecs that are not for text, such as base64. Python does not look at them if there are no bytes.
        b"x".decode(codec, "replace")
    except (LookupError, ValueError, TypeError):
        return None
    return None if codec.replace("_", "-") in _REFUSED else codec
