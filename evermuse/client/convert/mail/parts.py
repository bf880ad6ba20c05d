"""Parses the MIME structure of a mail: a tree of parts, each with its range of the mail's bytes.

A part's content is copied and decoded only on request. Depth and number of parts are bounded. Parts beyond the bounds are
not split off from the last part.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from evermuse.client.convert.decoding import decoded
from evermuse.client.convert.mail.headers import Header, header_of
from evermuse.client.convert.mail.parameters import with_parameters
from evermuse.client.convert.mail.transfer import content_of, text_around
from evermuse.client.convert.mail.words import plain

MAX_DEPTH, MAX_PARTS = 40, 2000
_TYPE = re.compile(r"[!-.0-~]+/[!-.0-~]+")
# Finds the boundary of a multipart that does not declare it.
_ANY_BOUNDARY = re.compile(rb"^--([!-~](?:[ -~]{0,68}[!-~])?)[ \t]*\r*\n[A-Za-z-]+[ \t]*:", re.MULTILINE)
_NEWLINE = re.compile(rb"\r*\n")


@dataclass(slots=True)
class Part:
    """A part. ``start``, ``end``: its body in ``raw``. ``number``: as in IMAP, "1.2"."""

    raw: bytes
    header: Header
    type: str
    parameters: dict[str, str]
    disposition: str
    filename: str
    start: int
    end: int
    number: str
    children: list["Part"] = field(default_factory=list)

    @property
    def is_multipart(self) -> bool:
        return bool(self.children)

    def content(self) -> bytes:
        """The content, with its transfer encoding decoded."""
        return content_of(self.raw[self.start : self.end], self._encoding, is_text=self._is_text)

    def text_around(self) -> str:
        """The plain text before and after a file's encoded content."""
        around = b"" if self._is_text else text_around(self.raw[self.start : self.end], self._encoding)
        return decoded(around, self.header.charset).strip() if around else ""

    @property
    def _encoding(self) -> str:
        return self.header.text("content-transfer-encoding").lower().strip(" \"';")

    @property
    def _is_text(self) -> bool:
        return self.type.startswith("text/") and self.disposition != "attachment" and not self.filename


@dataclass(slots=True)
class Structure:
    """A mail's root part, its defects, and the texts before the first and after the last child of its multiparts."""

    root: Part
    defects: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    count: int = 0


def structure_of(raw: bytes) -> Structure:
    """The structure of a mail."""
    header = header_of(raw, is_message=True)
    structure = Structure(_part(raw, header, len(raw), "", "text/plain"), list(header.defects))
    _divide(structure, structure.root, 0)
    return structure


def _part(raw: bytes, header: Header, end: int, number: str, default_type: str) -> Part:
    value = plain(header.text("content-type"))
    type, parameters = with_parameters(value) if value else (default_type, {})
    if _TYPE.fullmatch(type) is None:
        # Some mailers write only "text". RFC 2045 says to treat an invalid type as plain text.
        type = "text/plain"
    disposition, more = with_parameters(header.text("content-disposition"))
    filename = more.get("filename") or parameters.get("name") or ""
    return Part(raw, header, type, parameters, disposition, filename, header.body, end, number)


def _divide(structure: Structure, part: Part, depth: int) -> None:
    if not part.type.startswith("multipart/"):
        return
    if depth >= MAX_DEPTH:
        structure.defects.append(f"more than {MAX_DEPTH} nested parts")
        part.type = "application/octet-stream"
        return
    boundary = part.parameters.get("boundary", "").rstrip().encode("utf-8", "surrogateescape")
    if not boundary:
        structure.defects.append(f"part {part.number or '0'}: no boundary")
        if (guess := _ANY_BOUNDARY.search(part.raw, part.start, part.end)) is not None:
            boundary = guess[1]
    spans, outside = _spans(part, boundary) if boundary else ([], [])
    if not spans:
        structure.defects.append(f"part {part.number or '0'}: its boundary is not found")
        part.type = "text/plain"
        return
    texts = [decoded(part.raw[start:end], part.header.charset).strip() for start, end in outside]
    structure.outside.extend(text for text in texts if text)
    default = "message/rfc822" if part.type == "multipart/digest" else "text/plain"
    for index, (start, end) in enumerate(spans, 1):
        if structure.count >= MAX_PARTS:
            structure.defects.append(f"more than {MAX_PARTS} parts")
            part.children[-1].end = part.end
            return
        structure.count += 1
        number = f"{part.number}.{index}" if part.number else str(index)
        header = header_of(part.raw, start, end)
        header.charset = part.header.charset
        child = _part(part.raw, header, end, number, default)
        part.children.append(child)
        _divide(structure, child, depth + 1)


def _spans(part: Part, boundary: bytes) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The range of each child, and the ranges before the first and after the last one.

    The line break before a boundary belongs to the boundary.
    """
    raw = part.raw
    mark = re.compile(rb"^--" + re.escape(boundary) + rb"(--)?[ \t]*\r*$", re.MULTILINE)
    spans: list[tuple[int, int]] = []
    outside: list[tuple[int, int]] = []
    start = -1
    for found in mark.finditer(raw, part.start, part.end):
        if start >= 0:
            spans.append((start, _before_newline(raw, start, found.start())))
        elif not outside:
            outside.append((part.start, found.start()))
        if found[1]:
            return spans, [*outside, (found.end(), part.end)]
        newline = _NEWLINE.match(raw, found.end(), part.end)
        start = newline.end() if newline else part.end
    if 0 <= start < part.end:
        # The closing boundary is missing, because the mail was truncated.
        spans.append((start, part.end))
    return spans, outside


def _before_newline(raw: bytes, start: int, end: int) -> int:
    if end > start and raw[end - 1] == 10:
        end -= 1
        if end > start and raw[end - 1] == 13:
            end -= 1
    return end


def leaves(part: Part) -> list[Part]:
    """The parts with content, in order."""
    found: list[Part] = []
    pending: list[Any] = [part]
    while pending:
        one = pending.pop()
        if one.children:
            pending.extend(reversed(one.children))
        else:
            found.append(one)
    return found
