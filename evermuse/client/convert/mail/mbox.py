"""Splits an mbox into mails, in bounded memory.

A mail starts with a line ``From …`` at the beginning of the file or after a blank line, if the line has a date and a header
field follows. Some writers forget the blank line. In that case the line must have the strict form and two fields must
follow. So a line of text that begins with "From " does not split a mail. A Content-Length that leads exactly to the next
mail is trusted, because its writers do not escape such lines. Other values are ignored.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from evermuse.client.convert.mail import dates

BLOCK_BYTES = 1024 * 1024
# The bytes before and after a line that are needed to decide whether it starts a mail.
LOOK_BEHIND, LOOK_AHEAD = 4, 64 * 1024
MAX_LINE = 1000
_MONTH = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_ZONE = rb"(?: [A-Z]{1,5}| [+-]\d{4})?"
_CTIME = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) " + _MONTH + rb" [ \d]?\d \d\d:\d\d(?::\d\d)?" + _ZONE + rb" \d{4}" + _ZONE
_STRICT = re.compile(rb"From [^\s]{1,320}(?: at [^\s]{1,255})?[ \t]+" + _CTIME + rb"[ \t]*\r*")
_TIME = re.compile(rb"\d{1,2}:\d{2}")
_DAY = re.compile(rb"\b" + _MONTH + rb"|\d{4}-\d{2}-\d{2}|\d{1,2}/\d{1,2}/\d{2,4}", re.IGNORECASE)
# Thunderbird omits the date, and sometimes the sender.
_SHORT = re.compile(rb"From (?:-|[^\s]{1,320})?[ \t]*\r*")
_THUNDERBIRD = re.compile(rb"From -[ \t]*\r*")
_FIELD = re.compile(rb">?[!-9;-~]{1,100}[ \t]*:|>From ")
_FIELD_OR_FOLDED = re.compile(rb"[!-9;-~]{1,100}[ \t]*:|[ \t]+[^\s]|\r*\n")
_MAIL_FIELD = re.compile(
    rb"(?:x-[\w-]+|return-path|received|date|from|to|subject|message-id|mime-version|delivered-to|status|content-[a-z-]+)"
    rb"[ \t]*:",
    re.IGNORECASE,
)
_CONTENT_LENGTH = re.compile(rb"^Content-Length:[ \t]*(\d{1,12})[ \t]*\r*$", re.MULTILINE | re.IGNORECASE)
_END_OF_HEADER = re.compile(rb"\n\r*\n")
_BLANK_LINES = re.compile(rb"[\r\n]*")
_LEADING = re.compile(rb"(?:\xef\xbb\xbf)?[\r\n]*")
_ESCAPED = re.compile(rb"^>(?=>*From )", re.MULTILINE)
_DATE_PART = re.compile(rb"(?:\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? |\b\d{4}-\d{2}-\d{2}).*")


@dataclass(frozen=True, slots=True)
class Span:
    """The range of a mail in a file, including its line ``From …``. ``is_counted``: delimited by a Content-Length."""

    offset: int
    length: int
    is_counted: bool = False


def spans(file: BinaryIO) -> Iterator[Span]:
    """The mails of an mbox in order. Together they cover the file, except blank lines at its beginning."""
    window = _Window(file)
    start = _matched(_LEADING, window.at(0))
    while start < window.size:
        counted = _counted_end(window, start)
        end = counted or _next_start(window, start + 1)
        yield Span(start, end - start, counted is not None)
        start = end


class _Window:
    """A window of the file in memory. It moves forward."""

    def __init__(self, file: BinaryIO) -> None:
        self.size = file.seek(0, 2)
        self._file = file
        self.base, self.buffer = 0, b""

    def reach(self, position: int) -> int:
        """Load the surroundings of a position into the buffer. Returns the position's index there."""
        index = position - self.base
        ends_file = self.base + len(self.buffer) == self.size
        starts_before = index >= LOOK_BEHIND or (index >= 0 and self.base == 0)
        if not starts_before or not (ends_file or index + LOOK_AHEAD < len(self.buffer)):
            base = max(position - LOOK_BEHIND, 0)
            if self.base <= base < self.base + len(self.buffer):
                kept = self.buffer[base - self.base :]
                self._file.seek(base + len(kept))
                self.buffer = kept + self._file.read(BLOCK_BYTES)
            else:
                self._file.seek(base)
                self.buffer = self._file.read(BLOCK_BYTES)
            self.base = base
        return position - self.base

    def at(self, position: int) -> bytes:
        """Up to 64 KiB from a position."""
        index = self.reach(position)
        return self.buffer[index : index + LOOK_AHEAD]


def _next_start(window: _Window, position: int) -> int:
    """The start of the next mail, or the end of the file."""
    while position < window.size:
        index = window.reach(position)
        buffer = window.buffer
        is_last = window.base + len(buffer) == window.size
        # Decide on a line only when enough of the following text is in the buffer.
        limit = len(buffer) if is_last else len(buffer) - LOOK_AHEAD
        found = buffer.find(b"\nFrom ", max(index - 1, 0))
        while 0 <= found < limit:
            if _is_start(buffer, found + 1):
                return window.base + found + 1
            found = buffer.find(b"\nFrom ", found + 1)
        if is_last:
            return window.size
        position = window.base + limit
    return window.size


def _is_start(buffer: bytes, start: int) -> bool:
    """Whether a line that begins with "From " starts a mail."""
    stop = buffer.find(b"\n", start, start + MAX_LINE)
    if stop < 0 or _FIELD.match(buffer, stop + 1) is None:
        return False
    line = buffer[start:stop]
    has_mail_field = _MAIL_FIELD.match(buffer, stop + 1) is not None
    second = buffer.find(b"\n", stop + 1, stop + 1 + MAX_LINE * 10)
    has_two_fields = second >= 0 and _FIELD_OR_FOLDED.match(buffer, second + 1) is not None
    is_strict = _STRICT.fullmatch(line) is not None
    if not _follows_blank_line(buffer, start):
        has_two_mail_fields = has_mail_field and second >= 0 and _MAIL_FIELD.match(buffer, second + 1) is not None
        return (is_strict and has_two_fields) or (has_two_mail_fields and _THUNDERBIRD.fullmatch(line) is not None)
    names_date = _TIME.search(line) is not None and _DAY.search(line) is not None
    return (
        is_strict
        or (names_date and (has_mail_field or has_two_fields))
        or (has_mail_field and _SHORT.fullmatch(line) is not None)
    )


def _follows_blank_line(buffer: bytes, start: int) -> bool:
    before = buffer[max(start - LOOK_BEHIND, 0) : start].replace(b"\r", b"")
    return before.endswith(b"\n\n") or start <= 1


def _counted_end(window: _Window, start: int) -> int | None:
    """The end of the mail by its Content-Length, if the next mail starts or the file ends exactly there."""
    head = window.at(start)
    blank = _END_OF_HEADER.search(head)
    found = _CONTENT_LENGTH.search(head, 0, blank.start() + 1) if blank else None
    if blank is None or found is None:
        return None
    end = start + blank.end() + int(found[1])
    if end > window.size:
        return None
    saved = window.base, window.buffer
    following = window.at(end)[:MAX_LINE]
    gap = _matched(_BLANK_LINES, following)
    if gap <= LOOK_BEHIND and end + gap == window.size:
        return window.size
    if gap <= LOOK_BEHIND and following.startswith(b"From ", gap):
        index = window.reach(end + gap)
        if _is_start(b"\n\n" + window.buffer[index : index + LOOK_AHEAD], 2):
            return end + gap
    window.base, window.buffer = saved
    return None


def _matched(pattern: re.Pattern[bytes], raw: bytes) -> int:
    found = pattern.match(raw)
    return found.end() if found else 0


def mail_in(raw: bytes, *, is_counted: bool) -> tuple[bytes, datetime | None]:
    """The mail of a span, and the date of its line ``From …``. Lines ``>From`` lose the ``>`` that the writer added."""
    date = None
    if raw.startswith(b"From "):
        line, _, raw = raw.partition(b"\n")
        if (found := _DATE_PART.search(line)) is not None:
            date = dates.parsed(found[0].decode("ascii", "replace"))
    if not is_counted and b"From " in raw:
        raw = _ESCAPED.sub(b"", raw)
    # The blank line before the next mail is not part of this one.
    if raw.endswith(b"\n\n"):
        raw = raw[:-1]
    elif raw.endswith(b"\r\n\r\n"):
        raw = raw[:-2]
    return raw, date
