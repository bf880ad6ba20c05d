"""Reads stored records: normalizes the bytes that were sent, without validating them.

Landing judged each record for good. If a rule is tightened later, stored records must stay readable, so nothing is
refused here. For records that today's rules allow, the result equals that of `lake.normalization` byte for byte.
"""

import json
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType, inspect

from lake import field_rules, json_syntax, json_text
from lake.envelope import Envelope
from lake.json_text import MAX_DIGITS, JsonText, one_line
from lake.normalization import DEFAULT_NATURE, NormalizedRecord, normalize

_REFUSALS = (msgspec.MsgspecError, RecursionError, UnicodeError)
# In the order of a normalized record.
_NAMES = [one.encode_name for one in msgspec.structs.fields(Envelope)]
_OBJECT, _STRING = ord("{"), ord('"')

_encode = msgspec.json.Encoder().encode


def _relaxed(of: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """A struct with the same fields in the same order, but without limits, enumerations and formats."""
    described = inspect.type_info(of)
    assert isinstance(described, inspect.StructType)
    return msgspec.defstruct(
        f"Stored{of.__name__}",
        [
            (one.name, kind) if one.required else (one.name, kind | UnsetType, field_rules.absent(one))
            for one, kind in ((one, _kind(one.type)) for one in described.fields)
        ],
        rename={one.name: one.encode_name for one in described.fields},
        namespace={"all_project_ids": Envelope.all_project_ids, "attachment_list": Envelope.attachment_list},
        forbid_unknown_fields=True,
        kw_only=True,
        omit_defaults=of is Envelope,
        gc=False,
    )


def _kind(type: inspect.Type) -> Any:
    match type:
        case inspect.Metadata():
            return _kind(type.type)
        case inspect.StructType():
            return _relaxed(type.cls)
        case inspect.ListType():
            return list.__class_getitem__(_kind(type.item_type))
        case inspect.DictType():
            return dict.__class_getitem__((str, _kind(type.value_type)))
        case inspect.BoolType():
            return bool
        case inspect.FloatType():
            return float
        case inspect.IntType() | inspect.RawType():
            return Raw  # `_respelled` handles integers.
    return str


_decode = msgspec.json.Decoder(_relaxed(Envelope)).decode
_WITH_INTEGERS = [(one.name, one.type) for one in field_rules.fields_with(Envelope, inspect.IntType)]


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record that today's types cannot describe, normalized as far as possible."""

    document: bytes
    head: bytes
    data: bytes

    @property
    def line(self) -> bytes:
        """The document on one line."""
        return one_line(self.document)


def stored(sent: bytes) -> NormalizedRecord | StoredRecord:
    """A normalized stored record, from its slice as it was sent. Never raises, for any bytes."""
    return relaxed(sent) or _member_by_member(sent)


def relaxed(sent: bytes) -> NormalizedRecord | None:
    """The normalized record if its fields are the envelope's and have values of their types, else None."""
    try:
        envelope = cast(Envelope, _decode(sent))
    except _REFUSALS:
        found = _around_data(sent)
        if found is None:
            return None
        envelope = found
    if bytes(memoryview(envelope.data)[:1]) != b"{":
        return None
    for name, type in _WITH_INTEGERS:
        if (value := getattr(envelope, name)) is not UNSET:
            setattr(envelope, name, _respelled(value, type))
    return normalize(envelope)


def _around_data(sent: bytes) -> Envelope | None:
    """The envelope if the decoder only fails at ``data``: lone surrogates, deep nesting."""
    text = _text(sent)
    if text is None:
        return None
    places = [
        (start, end)
        for key, start, end in text.members(0)
        if key == b'"data"' or (b"\\" in key and json_text.decode_string(key) == "data")
    ]
    if len(places) != 1:
        return None
    start, end = places[0]
    try:
        envelope = cast(Envelope, _decode(text.raw[:start] + b"{}" + text.raw[end:]))
    except _REFUSALS:
        return None
    envelope.data = Raw(text.raw[start:end])
    return envelope


def _text(sent: bytes) -> JsonText | None:
    text = sent.strip(b" \t\r\n")
    try:
        json_syntax.check(text)
    except json_syntax.JsonSyntaxError:
        return None
    return JsonText(text) if text[0] == _OBJECT else None


def _respelled(value: Any, type: inspect.Type) -> Any:
    """Convert integers, which may be written as ``5.0``. One that today's rules refuse stays as it was sent."""
    match type:
        case inspect.IntType():
            return _integer(value) if isinstance(value, Raw) else value
        case inspect.Metadata():
            return _respelled(value, type.type)
        case inspect.ListType():
            return [_respelled(one, type.item_type) for one in value]
        case inspect.DictType():
            return {key: _respelled(one, type.value_type) for key, one in value.items()}
        case inspect.StructType():
            for one in type.fields:
                if (inner := getattr(value, one.name)) is not UNSET:
                    setattr(value, one.name, _respelled(inner, one.type))
    return value


def _integer(sent: Raw) -> int | Raw:
    number = bytes(sent)
    if number[:1] not in b"-0123456789":
        return sent
    try:
        digits = json_text.integer(number, MAX_DIGITS)
    except OverflowError:
        return sent
    return sent if digits is None else int(digits)


def _member_by_member(sent: bytes) -> StoredRecord:
    """Normalize only the top-level members. Their values stay as they were sent."""
    text = _text(sent)
    if text is None:
        shown = _encode(sent.decode(errors="replace"))
        return StoredRecord(shown, shown, b"null")
    found = {json_text.decode_string(key): text.raw[a:b] for key, a, b in text.members(0)}
    data = found.pop("data", b"null")
    head = _head(found)
    separator = b"," if head != b"{}" else b""
    return StoredRecord(b'%b%b"data":%b}' % (head[:-1], separator, data), head, data)


def _head(found: dict[str, bytes]) -> bytes:
    if (kind := _string(found.get("_type"))) is not None:
        found["_type"] = _encode(kind.lower())
    if (instant := _string(found.get("_event_at"))) is not None and len(instant) > 19:
        found["_event_at"] = _encode(f"{instant[:19]}Z")
    found.setdefault("_nature", _encode(DEFAULT_NATURE))
    if (projects := _projects(found)) is not None:
        found["_project_ids"] = _encode(projects)
        found.pop("_project_id", None)
    known = [name for name in _NAMES if name in found]
    others = [name for name in found if name not in _NAMES]
    return b"{%b}" % b",".join(b"%b:%b" % (_key(name), found[name]) for name in [*known, *others])


def _projects(found: dict[str, bytes]) -> list[str] | None:
    try:
        several = msgspec.json.decode(found.get("_project_ids", b"[]"), type=list[str])
        if "_project_id" in found:
            several.append(msgspec.json.decode(found["_project_id"], type=str))
    except _REFUSALS:
        return None
    return list(dict.fromkeys(several)) or None


def _string(slice: bytes | None) -> str | None:
    """The value as a string, or None if it is not a string that UTF-8 can encode."""
    if slice is None or slice[0] != _STRING:
        return None
    value = json_text.decode_string(slice)
    return None if json_text.has_lone_surrogate(value) else value


def _key(name: str) -> bytes:
    return json.dumps(name).encode() if json_text.has_lone_surrogate(name) else _encode(name)
