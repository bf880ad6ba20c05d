"""Splits a mail, or a part of one, into header fields and body."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from evermuse.client.convert.decoding import decoded

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
_BLANK_LINE = re.compile(rb"\n\r*\n")
# Fields that may follow a line that was folded without indentation.
_KNOWN = re.compile(
    rb"(?:x-[\w-]+|date|from|sender|reply-to|to|cc|bcc|subject|message-id|in-reply-to|references|received|return-path"
    rb"|mime-version|content-[a-z-]+|delivered-to|errors-to|list-[a-z-]+|precedence|status|user-agent|importance)[ \t]*:",
    re.IGNORECASE,
)
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?([\w.:-]{1,60})", re.IGNORECASE)
_ESCAPE = b"\x1b"
_LEADING = re.compile(rb"(?:\xef\xbb\xbf)?[\r\n]*+(?:>?From [^\n]*+\n)?")


@dataclass(slots=True)
class Header:
    """The fields of a header in order: (name, unfolded value).

    ``body``: the offset of the body. ``charset``: the character set of values that are neither encoded nor UTF-8, if the
    header's own Content-Type names none.
    """

    fields: list[tuple[str, bytes]]
    body: int
    defects: list[str] = field(default_factory=list)
    charset: str = ""

    def raw(self, name: str) -> bytes:
        """The value of the first field with a name, which is given in lower case; empty if there is none."""
        for key, value in self.fields:
            if len(key) == len(name) and key.lower() == name:
                return value
        return b""

    def raw_all(self, name: str) -> list[bytes]:
        """The values of all fields with a name."""
        return [value for key, value in self.fields if len(key) == len(name) and key.lower() == name]

    def text(self, name: str) -> str:
        """The first value as text. Encoded words are not decoded."""
        return self.shown(self.raw(name)).strip()

    def shown(self, value: bytes) -> str:
        """A value as text: UTF-8, or else in the body's character set, which old mailers use without encoding headers."""
        if not value.isascii() or _ESCAPE in value:
            found = _CHARSET.search(self.raw("content-type"))
            charset = found[1].decode("ascii") if found else self.charset
            if charset and (charset.lower().startswith("iso-2022") if value.isascii() else not _is_utf8(value)):
                return decoded(value, charset)
        return decoded(value)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def unix_lines(raw: bytes) -> bytes:
    """The mail with line feeds, if its lines end only with carriage returns (old Macintosh)."""
    return raw.replace(b"\r", b"\n") if b"\n" not in raw and b"\r" in raw else raw


def header_of(raw: bytes, start: int = 0, end: int | None = None, *, is_message: bool = False) -> Header:
    """The header that begins at ``start``.

    ``is_message``: a byte order mark, blank lines and an mbox line ``From …`` may come first. A line that is not a field
    continues the previous field if a well-known field follows. Otherwise it starts the body. So does such a line after one of
    blanks only, and a boundary.
    """
    end = len(raw) if end is None else end
    if is_message and (leading := _LEADING.match(raw, start, end)):
        start = leading.end()
    if raw.startswith((b"\n", b"\r\n"), start, end):
        return Header([], raw.index(b"\n", start) + 1)
    blank = _BLANK_LINE.search(raw, start, end)
    stop, body = (blank.start(), blank.end()) if blank else (end, end)
    lines = raw[start:stop].split(b"\n")
    pairs: list[tuple[str, list[bytes]]] = []
    at = start
    for index, line in enumerate(lines):
        if (found := _FIELD.match(line)) is not None:
            pairs.append((found[1].decode("ascii"), [line[found.end() :]]))
        elif pairs and (line[:1] in (b" ", b"\t") or _goes_on(lines, index)):
            pairs[-1][1].append(line)
        else:
            return Header(_unfolded(pairs), at, ["no blank line between header and body"])
        at += len(line) + 1
    return Header(_unfolded(pairs), body)


def _goes_on(lines: Sequence[bytes], index: int) -> bool:
    if index + 1 == len(lines) or lines[index].startswith(b"--") or not lines[index - 1].strip():
        return False
    return _KNOWN.match(lines[index + 1]) is not None


def _unfolded(pairs: list[tuple[str, list[bytes]]]) -> list[tuple[str, bytes]]:
    return [
        (name, lines[0].strip() if len(lines) == 1 else b" ".join([line.strip() for line in lines]).strip())
        for name, lines in pairs
    ]
