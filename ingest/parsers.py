"""From a body to the records that it holds, each as its own slice of the bytes that were sent."""

import re

import msgspec

from ingest.models import Payload
from ingest.refusals import Refusal, invalid_body
from lake import json_text

MAX_RECORDS = 1000

_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RECORDS_OPENING = re.compile(rb'\{[ \t\r\n]*"records"[ \t\r\n]*:[ \t\r\n]*\Z')


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
            return [bytes(raw) for raw in _ARRAY.decode(text)]
        if text[:1] == b"{":
            return _records_of(text, _OBJECT.decode(text))
    except (msgspec.MsgspecError, RecursionError):
        pass  # Too deep for it, a lone surrogate, or no JSON at all: the patient scanner knows.
    try:
        return _scan(text)
    except json_text.JsonSyntaxError as error:
        raise _invalid_json(content, error.offset, error.reason) from None


def _records_of(text: bytes, fields: dict[str, msgspec.Raw]) -> list[bytes]:
    """The records of an object: itself, or what its only key ``records`` holds."""
    if "records" not in fields:
        return [text]
    value = bytes(fields["records"])
    start = len(text[:-1].rstrip(_SPACE)) - len(value)
    if len(fields) > 1 or not _RECORDS_OPENING.match(text[:start]):
        return _scan(text)  # Another key beside it, or a repeated one.
    if value[:1] != b"[":
        raise invalid_body('"records" must be an array of records.')
    return [bytes(raw) for raw in _ARRAY.decode(value)]


def _scan(text: bytes) -> list[bytes]:
    """The same in Python, for any nesting depth and any string that JSON allows. Raises JsonSyntaxError."""
    end = json_text.skip_value(text, 0)
    if end != len(text):
        raise json_text.JsonSyntaxError(end, "something follows the value")
    at = 0
    if text[:1] == b"{":
        members = json_text.members(text, 0)
        keys = [json_text.decode_string(key) for key, _, _ in members]
        if "records" not in keys:
            return [text]
        if len(keys) > 1:
            raise invalid_body('The object holds another key beside "records".')
        at = members[0][1]
    if text[at : at + 1] != b"[":
        what = (
            '"records" must be an array of records.'
            if at
            else 'The body must be a record, an array of records, or {"records": […]}.'
        )
        raise invalid_body(what)
    return [text[start:end] for start, end in json_text.elements(text, at)]


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
