"""From a body to its records: the bytes of each as they were sent, and where they begin."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import msgspec
from msgspec import UNSET, Raw, UnsetType
from msgspec.structs import astuple

from ingest.refusals import Refusal, invalid_body
from lake import json_syntax, json_text
from lake.frames import Place
from lake.json_text import JsonText
from lake.models import Payload

MAX_RECORDS = 1000

_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
# A longer array is decoded into this many fields. msgspec reads the elements after them without keeping them in memory.
_SMALL_BYTES = 64 * 1024
_FIELD = Raw | UnsetType
_ARRAY = msgspec.json.Decoder(list[Raw])
_FIRST = msgspec.json.Decoder(
    msgspec.defstruct("First", [(f"at_{n}", _FIELD, UNSET) for n in range(MAX_RECORDS + 1)], array_like=True)
)


class _Object(msgspec.Struct):
    records: Raw | UnsetType = UNSET


_OBJECT = msgspec.json.Decoder(_Object)
_RECORDS_OPENING = re.compile(rb'\{[ \t\r\n]*"records"[ \t\r\n]*:[ \t\r\n]*\Z')
_BETWEEN_ELEMENTS = re.compile(rb"[ \t\r\n,]*")
_BETWEEN_LINES = re.compile(rb"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class SplitBody:
    """The records of a body. ``are_json``: whether each is proven to be JSON.

    Only separators may precede the first record, from ``begin`` on, and separate two records.
    """

    content: bytes
    raws: list[bytes]
    begin: int
    are_json: bool

    def offsets(self) -> Iterator[int]:
        """Where each record begins in the body."""
        separators = _BETWEEN_ELEMENTS if self.are_json else _BETWEEN_LINES
        return _offsets(self.content, self.raws, self.begin, separators)

    def places(self, batch_id: int) -> list[Place]:
        """The place of each record in the body of its batch."""
        return [Place(batch_id, at, len(raw)) for at, raw in zip(self.offsets(), self.raws, strict=True)]


def _offsets(content: bytes, raws: list[bytes], at: int, separators: re.Pattern[bytes]) -> Iterator[int]:
    """Where each of some consecutive texts begins. ``at``: where the separators before the first one begin."""
    for raw in raws:
        match = separators.match(content, at)
        at = match.end() if match else at
        yield at
        at += len(raw)


def split(content: bytes, media_type: str) -> SplitBody:
    """The records of a body, 1 to 1,000 of them. A line of NDJSON need not be JSON.

    Raises the refusals INVALID_JSON, INVALID_BODY, EMPTY_BATCH, TOO_MANY_RECORDS.
    """
    begin = len(_BOM) if content.startswith(_BOM) else 0
    found = _lines(content, begin) if media_type == Payload.Media.NDJSON else _json(content, begin)
    if not found.raws:
        raise Refusal(400, "EMPTY_BATCH", "The batch holds no record: send 1 to 1,000.")
    if len(found.raws) > MAX_RECORDS:
        raise Refusal(400, "TOO_MANY_RECORDS", "The batch holds more than 1,000 records: send smaller batches.")
    return found


def _lines(content: bytes, begin: int) -> SplitBody:
    """The lines that are not blank, split at LF alone, without the white space around them. At most one over the limit."""
    lines: list[bytes] = []
    start = begin
    while start <= len(content) and len(lines) <= MAX_RECORDS:
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end
        if line := content[start:end].strip(_SPACE):
            lines.append(line)
        start = end + 1
    return SplitBody(content, lines, begin, are_json=False)


def _json(content: bytes, begin: int) -> SplitBody:
    body = content[begin:]
    text = body.strip(_SPACE)
    start = begin + len(body) - len(body.lstrip(_SPACE))
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise _invalid_json(body, error.start, "not UTF-8") from None
    try:
        raws, at = _quickly(text)
    except (msgspec.MsgspecError, RecursionError):  # too deep for msgspec, a lone surrogate, or not JSON at all
        if (found := _without_surrogates(text)) is not None:
            return SplitBody(content, found, start + 1, are_json=True)
        if (refusal := syntax_error(body)) is not None:
            raise refusal from None
        raws, at = _patiently(text)
    return SplitBody(content, raws, start + at, are_json=True)


def syntax_error(body: bytes) -> Refusal | None:
    """INVALID_JSON with line and column, or None if the body is JSON. ``body``: without a byte order mark."""
    text = body.strip(_SPACE)
    try:
        text.decode()
        json_syntax.check(text)
    except UnicodeDecodeError as error:
        return _invalid_json(body, error.start, "not UTF-8")
    except json_syntax.JsonSyntaxError as error:
        return _invalid_json(body, error.offset, error.reason)
    return None


def _quickly(text: bytes) -> tuple[list[bytes], int]:
    """The records and where the first one may begin, by msgspec, which raises for some valid JSON."""
    if text[:1] == b"[":
        return _elements(text), 1
    if text[:1] == b"{":
        return _records_of(text, _OBJECT.decode(text).records)
    raise msgspec.DecodeError


def _without_surrogates(text: bytes) -> list[bytes] | None:
    """The records of an array that msgspec takes for JSON once its surrogates are replaced, else None."""
    if text[:1] != b"[":
        return None
    try:
        plain = _elements(json_syntax.without_surrogates(text))
    except (msgspec.MsgspecError, RecursionError):
        return None
    # The replaced text has the same structure and length, so the records are at the same places.
    return [
        text[at : at + len(raw)] for at, raw in zip(_offsets(text, plain, 1, _BETWEEN_ELEMENTS), plain, strict=True)
    ]


def _elements(text: bytes) -> list[bytes]:
    """The elements of an array, at most one over the limit."""
    if len(text) < _SMALL_BYTES:
        return [bytes(raw) for raw in _ARRAY.decode(text)]
    return [bytes(raw) for raw in astuple(_FIRST.decode(text)) if raw is not UNSET]


def _records_of(text: bytes, records: Raw | UnsetType) -> tuple[list[bytes], int]:
    """The records of an object: the object itself, or the elements of its only key ``records``."""
    if records is UNSET:
        return [text], 0
    value = bytes(records)
    start = len(text[:-1].rstrip(_SPACE)) - len(value)
    if not _RECORDS_OPENING.match(text[:start]):
        return _patiently(text)  # another key beside "records", or "records" twice
    if value[:1] != b"[":
        raise invalid_body('"records" must be an array of records.')
    return _elements(value), start + 1


def _patiently(text: bytes) -> tuple[list[bytes], int]:
    """Like `_quickly`, for JSON of any depth and with any strings."""
    if text[:1] == b"{" and not _may_hold_records(text):
        return [text], 0
    json = JsonText(text)
    at = 0
    if text[:1] == b"{":
        places = [start for key, start, _ in json.members(0) if json_text.decode_string(key) == "records"]
        if not places:
            return [text], 0
        if len(list(islice(json.members(0), 2))) > 1:
            raise invalid_body('The object holds another key beside "records".')
        at = places[0]
    if text[at : at + 1] != b"[":
        what = (
            '"records" must be an array of records.'
            if at
            else 'The body must be a record, an array of records, or {"records": […]}.'
        )
        raise invalid_body(what)
    return [text[start:end] for start, end in islice(json.elements(at), MAX_RECORDS + 1)], at + 1


def _may_hold_records(text: bytes) -> bool:
    """False if an object has no key ``records``."""
    if b'"records"' not in text and b"\\u" not in text:
        return False
    try:
        return _OBJECT.decode(json_syntax.without_surrogates(text)).records is not UNSET
    except (msgspec.MsgspecError, RecursionError):
        return True


def _invalid_json(content: bytes, offset: int, reason: str) -> Refusal:
    """The refusal that names line and column. ``offset`` counts from the first byte that is not white space."""
    before = content[: len(content) - len(content.lstrip(_SPACE)) + offset]
    line = before.count(b"\n") + 1
    column = len(before[before.rfind(b"\n") + 1 :].decode(errors="replace")) + 1
    return Refusal(
        400,
        "INVALID_JSON",
        f"The body is not JSON: {reason} at line {line}, column {column}.",
        details={"line": line, "column": column},
    )
