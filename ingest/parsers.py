"""From a body to the records that it holds, each as its own slice of the bytes that were sent."""

import re
from itertools import islice

import msgspec
from msgspec import UNSET, Raw, UnsetType
from msgspec.structs import astuple

from ingest.refusals import Refusal, invalid_body
from lake import json_syntax, json_text
from lake.json_text import JsonText
from lake.models import Payload

MAX_RECORDS = 1000

_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
# A longer array is decoded into so many fields: what follows them is read, and takes no memory.
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


def are_json(media_type: str) -> bool:
    """Whether `split` proves of each record that it is JSON."""
    return media_type == Payload.Media.JSON


def split(content: bytes, media_type: str) -> list[bytes]:
    """The records of a body, 1 to 1,000 of them; an NDJSON line need not parse.

    Raises the refusals INVALID_JSON, INVALID_BODY, EMPTY_BATCH, TOO_MANY_RECORDS.
    """
    content = content.removeprefix(_BOM)
    records = _lines(content) if media_type == Payload.Media.NDJSON else _json(content)
    if not records:
        raise Refusal(400, "EMPTY_BATCH", "The batch holds no record: send 1 to 1,000.")
    if len(records) > MAX_RECORDS:
        raise Refusal(400, "TOO_MANY_RECORDS", "The batch holds more than 1,000 records: send smaller batches.")
    return records


def _lines(content: bytes) -> list[bytes]:
    """The lines that are not blank, split at LF alone, CR before it dropped; at most one more than the limit."""
    lines: list[bytes] = []
    start = 0
    while start <= len(content) and len(lines) <= MAX_RECORDS:
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end
        if line := content[start:end].strip(_SPACE):
            lines.append(line)
        start = end + 1
    return lines


def _json(content: bytes) -> list[bytes]:
    text = content.strip(_SPACE)
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise _invalid_json(content, error.start, "not UTF-8") from None
    try:
        if text[:1] == b"[":
            return _elements(text)
        if text[:1] == b"{":
            return _records_of(text, _OBJECT.decode(text).records)
    except (msgspec.MsgspecError, RecursionError):
        pass  # Too deep for it, a lone surrogate, or no JSON at all.
    try:
        json_syntax.check(text)
    except json_syntax.JsonSyntaxError as error:
        raise _invalid_json(content, error.offset, error.reason) from None
    return _patiently(text)


def _elements(text: bytes) -> list[bytes]:
    """The elements of an array, at most one more than the limit."""
    if len(text) < _SMALL_BYTES:
        return [bytes(raw) for raw in _ARRAY.decode(text)]
    return [bytes(raw) for raw in astuple(_FIRST.decode(text)) if raw is not UNSET]


def _records_of(text: bytes, records: Raw | UnsetType) -> list[bytes]:
    """The records of an object: itself, or what its only key ``records`` holds."""
    if records is UNSET:
        return [text]
    value = bytes(records)
    start = len(text[:-1].rstrip(_SPACE)) - len(value)
    if not _RECORDS_OPENING.match(text[:start]):
        return _patiently(text)  # Another key beside it, or a repeated one.
    if value[:1] != b"[":
        raise invalid_body('"records" must be an array of records.')
    return _elements(value)


def _patiently(text: bytes) -> list[bytes]:
    """The same for any JSON, of any nesting depth and any strings."""
    if text[:1] == b"{" and b'"records"' not in text and b"\\u" not in text:
        return [text]
    json = JsonText(text)
    at = 0
    if text[:1] == b"{":
        places = [start for key, start, _ in json.members(0) if json_text.decode_string(key) == "records"]
        if not places:
            return [text]
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
    return [text[start:end] for start, end in islice(json.elements(at), MAX_RECORDS + 1)]


def _invalid_json(content: bytes, offset: int, reason: str) -> Refusal:
    """``offset``: from the first byte that is no white space."""
    before = content[: len(content) - len(content.lstrip(_SPACE)) + offset]
    line = before.count(b"\n") + 1
    column = len(before[before.rfind(b"\n") + 1 :].decode(errors="replace")) + 1
    return Refusal(
        400,
        "INVALID_JSON",
        f"The body is not JSON: {reason} at line {line}, column {column}.",
        details={"line": line, "column": column},
    )
