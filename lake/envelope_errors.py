"""Every error of a record that the fast decoder refuses, or its envelope if there is no error.

A record in which the walk (`lake.walk`) finds no error is valid, although the fast decoder refused it.
"""

import re
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType, inspect

from lake import deep_containers, error_texts, field_rules, json_syntax, json_text, walk_nodes
from lake.envelope import Envelope
from lake.fast_decoding import decode_quickly
from lake.field_errors import INVALID_JSON, VALIDATION_ERROR, FieldError
from lake.formats import is_record_type
from lake.json_syntax import JsonSyntaxError, without_surrogates
from lake.json_text import JsonText
from lake.spelling import spelled
from lake.walk import Walk
from lake.walk_nodes import opening

T = TypeVar("T", bound=msgspec.Struct)

# One more than a batch may hold.
ENOUGH_ATTACHMENTS = 1001

_READ_FIRST = frozenset({"_attachments", "_type"})
_BRACE = ord("{")
_SPACES = b" \t\r\n"
# The name of the data, which is not a part of a string, and the spaces before it that are looked at.
_MOST_SPACES = 64
_DATA = re.compile(rb'[{,][ \t\r\n]*+"data"[ \t\r\n]*+:[ \t\r\n]*+')
_NOTHING = Raw(b"{}")

_WITH_INTEGERS = field_rules.fields_with(Envelope, inspect.IntType)
_decode_head = msgspec.json.Decoder(Envelope).decode


class _Data(msgspec.Struct, gc=False):
    """The last ``data`` of a record."""

    data: Raw | UnsetType = UNSET


_decode_data = msgspec.json.Decoder(_Data).decode


@dataclass(slots=True)
class Explained:
    """What the walk found: the envelope or every error, and what is known of the record in any case.

    ``attachment_count``: the entries of ``_attachments``. ``type``: in lower case, if it is a valid one.
    """

    envelope: Envelope | None = None
    errors: list[FieldError] = field(default_factory=list)
    attachment_count: int = 0
    type: str | None = None


def check_schema(raw: bytes) -> Envelope | list[FieldError]:
    """The envelope of one record's JSON text, or all its errors. Never raises, for any bytes."""
    if envelope := decode_quickly([raw])[0]:
        return envelope
    found = explain(raw)
    return found.envelope or found.errors


def explain(raw: bytes, *, is_json: bool = False) -> Explained:
    """The envelope, or all errors. ``is_json``: whether the text is already proven to be JSON."""
    text = _object_text(raw, "record", is_json=is_json)
    if isinstance(text, list):
        return Explained(errors=text)
    head, data = _parted(text)
    is_refused_for_data = data is not None and not _is_readable(data) and _is_readable(head)
    if data is not None and is_refused_for_data and (envelope := decode_quickly([head])[0]) is not None:
        envelope.data = Raw(data)
        return Explained(envelope=envelope)
    found = Explained()
    node = walk_nodes.shortened(walk_nodes.node_of(JsonText(head), 0, len(head)))
    for key, member in walk_nodes.members_named(node, _READ_FIRST):
        if key == "_attachments" and opening(member) == b"[":
            found.attachment_count += walk_nodes.count(member, ENOUGH_ATTACHMENTS)
        elif key == "_type" and found.type is None and opening(member) == b'"':
            found.type = member.lower() if is_record_type(member) else None
    walk = Walk()
    walk.struct(node, Envelope)
    found.errors = list(walk.errors.values())
    if not found.errors:
        assert data is not None
        found.envelope = _decoded(head, has_odd_integers=walk.has_odd_integers)
        found.envelope.data = Raw(data)
    return found


def _decoded(head: bytes, *, has_odd_integers: bool) -> Envelope:
    """The envelope of a record without errors."""
    for one in _WITH_INTEGERS if has_odd_integers else ():
        text = JsonText(head)
        if (place := walk_nodes.last_member(text, one.encode_name)) is not None:
            head = _replaced(head, *place, spelled(walk_nodes.node_of(text, *place), one.type))
    return _decode_head(head)


def _parted(text: bytes) -> tuple[bytes, bytes | None]:
    """The record with ``{}`` instead of its last data, and the data. None if data is missing or not an object."""
    if (start := _start_of_last(text)) is not None:
        return text[:start] + b"{}}", text[start:-1].rstrip(_SPACES)
    plain = without_surrogates(text)
    try:
        found = _decode_data(plain).data
        if isinstance(found, UnsetType) or (data := bytes(found))[:1] != b"{":
            return text, None
        start = plain.rfind(data)
        end = start + len(data)
        if _decode_data(_replaced(plain, start, end, b"{}")).data == _NOTHING:
            return _replaced(text, start, end, b"{}"), text[start:end]
        # The same text occurs elsewhere too.
    except (msgspec.MsgspecError, RecursionError):
        pass
    place = walk_nodes.last_member(JsonText(text), "data")
    if place is None or text[place[0]] != _BRACE:
        return text, None
    return _replaced(text, *place, b"{}"), text[slice(*place)]


def _start_of_last(text: bytes) -> int | None:
    """Where the data begins, if it is found to be the record's last member. None proves nothing."""
    at = text.rfind(b'"data"')
    found = None if at < 0 else _DATA.search(text, max(0, at - _MOST_SPACES))
    if found is None or text[found.end() : found.end() + 1] != b"{":
        return None
    # If one whole value and the record's brace follow the name, the name is one of the record's.
    return found.end() if _is_one_value(text[found.end() : -1].rstrip(_SPACES)) else None


def _is_one_value(text: bytes) -> bool:
    """Whether a part of a JSON text, which begins with a brace, is one value."""
    try:
        json_syntax.decode(without_surrogates(text))
    except msgspec.MsgspecError:
        return False
    except RecursionError:
        try:
            return deep_containers.end_of(deep_containers.without_escapes(text), 0) == len(text)
        except ValueError:
            return False
    return True


def _is_readable(text: bytes) -> bool:
    """Whether decoders take a text for JSON."""
    try:
        json_syntax.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


def _replaced(text: bytes, start: int, end: int, by: bytes) -> bytes:
    return b"%b%b%b" % (text[:start], by, text[end:])


def _object_text(raw: bytes, what: str, *, is_json: bool = False) -> bytes | list[FieldError]:
    """The text without surrounding white space if it is one JSON object, else the error."""
    try:
        text = raw.strip(_SPACES)
        if not is_json:
            raw.decode()
            json_syntax.check(text)
    except UnicodeDecodeError as error:
        return [_not_json(raw, error.start, "not UTF-8")]
    except JsonSyntaxError as error:
        return [_not_json(text, error.offset, error.reason)]
    if text[:1] != b"{":
        return [FieldError(VALIDATION_ERROR, "", f"the {what} must be an object, not {error_texts.kind(text)}")]
    return text


def _not_json(text: bytes, offset: int, reason: str) -> FieldError:
    line, column = json_text.place(text, offset)
    return FieldError(INVALID_JSON, "", f"the record is not JSON: {reason} at line {line}, column {column}")


def check_object(raw: bytes, kind: type[T]) -> T | list[FieldError]:
    """A small JSON object of the API by its struct's rules, or all its errors. Never raises, for any bytes."""
    text = _object_text(raw, "body")
    if isinstance(text, list):
        return text
    node = walk_nodes.node_of(JsonText(text), 0, len(text))
    walk = Walk()
    walk.struct(node, kind)
    if walk.errors:
        return list(walk.errors.values())
    return msgspec.json.decode(spelled(node, inspect.type_info(kind)) if walk.has_odd_integers else text, type=kind)
