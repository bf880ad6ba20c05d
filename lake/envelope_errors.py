"""Every error of a record: a walk over the same types that the fast decoder checks, by the bytes that were sent.

One error per JSON pointer (the first rule broken there), at most 100 a record. A record in which the walk finds nothing
is valid, whatever the fast decoder thought of it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, inspect
from msgspec.structs import astuple

from lake import json_syntax, json_text
from lake.addresses import is_email
from lake.envelope import (
    INVALID_JSON,
    MAX_ERRORS,
    RECORD_TYPES,
    VALIDATION_ERROR,
    DetectedEntity,
    Envelope,
    FieldError,
    decode_quickly,
    is_instant,
    is_record_type,
    is_uri,
)
from lake.json_syntax import JsonSyntaxError
from lake.json_text import JsonText

MAX_MESSAGE = 2048
# Python turns no longer texts into integers (sys.get_int_max_str_digits).
MAX_DIGITS = 4300

_INTEGER = re.compile(rb"-?[0-9]+")
_FORMATS: dict[str, tuple[Callable[[str], bool], str]] = {
    "record-type": (is_record_type, f"must be one of {', '.join(sorted(RECORD_TYPES))}"),
    "instant": (is_instant, "must be a real instant in UTC such as 2026-01-31T12:00:00Z, with at most 3 decimals"),
    "email": (is_email, "must be an e-mail address"),
    "uri": (is_uri, "must be an absolute URI"),
}
T = TypeVar("T", bound=msgspec.Struct)

_BRACE = ord("{")
_LOOKED_AT = (b'"_attachments"', b'"_type"')
# One more than a batch may hold.
ENOUGH_ATTACHMENTS = 1001
# Longer arrays are not counted to their end.
LONGEST_COUNT = 10_000

_ROOT = inspect.type_info(Envelope)
_decode_head = msgspec.json.Decoder(Envelope).decode
_decode_strings = msgspec.json.Decoder(dict[str, str]).decode
# Entries of an array that are proven together.
GROUP_ENTRIES = 1000


class _Key:
    """A key that equals no other, so that a decoder keeps every member."""

    __slots__ = ()


_decode_pairs = msgspec.json.Decoder(dict[_Key, Raw], dec_hook=lambda _, key: _Key()).decode


@cache
def _strings_decoder(max_length: int | None) -> msgspec.json.Decoder[list[str]]:
    return msgspec.json.Decoder(list[Annotated[str, Meta(max_length=max_length)]])


_decode_entities = msgspec.json.Decoder(list[DetectedEntity]).decode
_decode_members = msgspec.json.Decoder(list[dict[_Key, Raw]], dec_hook=lambda _, key: _Key()).decode


def _are_sound(entries: bytes, type: inspect.Type) -> bool:
    """Proof by decoders for entries that an array may hold without limit: strings, and detected entities."""
    try:
        if isinstance(type, inspect.StrType):
            _strings_decoder(type.max_length).decode(entries)
            return True
        if isinstance(type, inspect.StructType) and type.cls is DetectedEntity:
            fields = sum(1 for one in _decode_entities(entries) for value in astuple(one) if value is not UNSET)
            # As many members as fields: no key is repeated.
            return fields == sum(map(len, _decode_members(entries)))
    except (msgspec.MsgspecError, RecursionError):
        pass
    return False


@cache
def _fields_of(kind: type[msgspec.Struct]) -> dict[str, inspect.Field]:
    found = inspect.type_info(kind)
    assert isinstance(found, inspect.StructType)
    return {one.encode_name: one for one in found.fields}


@dataclass(slots=True)
class Explanation:
    """What the walk found: the envelope or every error, and what is known of the record whatever else is wrong with it.

    ``attachment_count``: the entries of ``_attachments``. ``type``: lower-cased, when it names a valid one.
    """

    envelope: Envelope | None = None
    errors: list[FieldError] = field(default_factory=list)
    attachment_count: int = 0
    type: str | None = None


def check_schema(raw: bytes) -> Envelope | list[FieldError]:
    """The envelope of one record's JSON text, or all its errors. Never raises for any bytes."""
    if envelope := decode_quickly([raw])[0]:
        return envelope
    found = explain(raw)
    return found.envelope or found.errors


def explain(raw: bytes, *, is_json: bool = False) -> Explanation:
    """The patient way: all errors, or the envelope where there are none. ``is_json``: whether that is proven already."""
    text = _object_text(raw, "record", is_json=is_json)
    if isinstance(text, list):
        return Explanation(errors=text)
    found = Explanation()
    places: list[tuple[int, int]] = []
    for key, start, end in text.members(0):
        if key == b'"data"':
            places.append((start, end))
        elif b"\\" in key or key in _LOOKED_AT:
            _look(found, text, json_text.decode_string(key), start, end)
    if len(places) == 1 and text.raw[places[0][0]] == _BRACE:
        found.envelope = _without_data(text.raw, *places[0])
    if found.envelope is None:
        walk = _Walk(text)
        walk.object(0, _ROOT, "", "")
        found.errors = list(walk.errors.values())[:MAX_ERRORS]
        if not found.errors:
            start, end = walk.data
            found.envelope = _decode_head(walk.rewritten(start, end))
            found.envelope.data = Raw(text.raw[start:end])
    return found


def _without_data(raw: bytes, start: int, end: int) -> Envelope | None:
    """The envelope, when only ``data`` is what the fast decoder cannot read."""
    envelope = decode_quickly([raw[:start] + b"{}" + raw[end:]])[0]
    if envelope is not None:
        envelope.data = Raw(raw[start:end])
    return envelope


def _look(found: Explanation, text: JsonText, key: str, start: int, end: int) -> None:
    """Note what one top-level member says of attachments and type."""
    opening = text.raw[start : start + 1]
    if key == "_attachments" and opening == b"[":
        found.attachment_count += _count(text, start, ENOUGH_ATTACHMENTS)
    elif key == "_type" and opening == b'"' and found.type is None:
        value = json_text.decode_string(text.raw[start:end])
        found.type = value.lower() if is_record_type(value) else None


def _count(text: JsonText, start: int, limit: int) -> int:
    """The entries of an array, counted no further than the limit."""
    return sum(1 for _ in islice(text.elements(start), limit))


def check_object(raw: bytes, kind: type[T]) -> T | list[FieldError]:
    """A small JSON object of the API by its struct's rules, or all its errors. Never raises for any bytes."""
    text = _object_text(raw, "body")
    if isinstance(text, list):
        return text
    walk = _Walk(text)
    walk.object(0, inspect.type_info(kind), "", "")
    return list(walk.errors.values()) or msgspec.json.decode(walk.rewritten(), type=kind)


def _object_text(raw: bytes, what: str, *, is_json: bool = False) -> JsonText | list[FieldError]:
    """The text without white space around it, when it is one JSON object; else the one error."""
    try:
        text = raw.strip(b" \t\r\n")
        if not is_json:
            raw.decode()
            json_syntax.check(text)
    except UnicodeDecodeError as error:
        return [_not_json(raw, error.start, "not UTF-8")]
    except JsonSyntaxError as error:
        return [_not_json(text, error.offset, error.reason)]
    if text[:1] != b"{":
        return [FieldError(VALIDATION_ERROR, "", f"the {what} must be an object, not {_kind(text)}")]
    return JsonText(text)


def _not_json(text: bytes, offset: int, reason: str) -> FieldError:
    line, column = json_text.place(text, offset)
    return FieldError(INVALID_JSON, "", f"the record is not JSON: {reason} at line {line}, column {column}")


def _kind(text: bytes) -> str:
    first = text[:1]
    names = {b"{": "an object", b"[": "an array", b'"': "a string", b"t": "true", b"f": "false", b"n": "null"}
    return names.get(first, "a number")


def _clean(text: str) -> str:
    """A client's text in a message or pointer: short, and without what UTF-8 cannot say."""
    short = text if len(text) <= 128 else text[:127] + "…"
    return re.sub("[\ud800-\udfff]", "\ufffd", short)


def _escaped(key: str) -> str:
    """A name as a part of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def _place(key: str, pointer: str, path: str) -> tuple[str, str]:
    """A member's pointer and its path for people."""
    return f"{pointer}/{_escaped(key)}", f"{path}.{_clean(key)}" if path else _clean(key)


def _shown(pointer: str) -> str:
    """A pointer with each of its names cleaned."""
    names = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")]
    return "/".join(_escaped(_clean(name)) for name in names)


@dataclass(slots=True)
class _Walk:
    """One pass over a record's text.

    ``errors``: by their whole pointer, which is shown with long names cut. ``data``: its place. ``integers``: place and value
    of those that are not written as decoders take them, such as ``5.0``.
    """

    source: JsonText
    errors: dict[str, FieldError] = field(default_factory=dict)
    data: tuple[int, int] = (0, 0)
    integers: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def text(self) -> bytes:
        """The record's bytes."""
        return self.source.raw

    @property
    def is_full(self) -> bool:
        """Whether no further error is noted."""
        return len(self.errors) >= MAX_ERRORS

    def rewritten(self, start: int = 0, end: int = 0) -> bytes:
        """The text with ``{}`` for what stands from ``start`` to ``end``, and its integers in the one spelling of decoders."""
        parts: list[bytes] = []
        at = 0
        changes = [(a, b, b"%d" % value) for a, b, value in self.integers]
        for a, b, new in sorted([*changes, (start, end, b"{}")] if end else changes):
            parts += (self.text[at:a], new)
            at = b
        return b"".join([*parts, self.text[at:]])

    def fail(self, pointer: str, path: str, rule: str) -> None:
        """Note an error, the first one of a pointer only."""
        if pointer not in self.errors and not self.is_full:
            message = f"{path}: {rule}" if path else rule
            self.errors[pointer] = FieldError(VALIDATION_ERROR, _shown(pointer), message[:MAX_MESSAGE])

    def value(self, start: int, end: int, type: inspect.Type, pointer: str, path: str) -> None:
        """Check one value against its type."""
        if self.is_full:
            return
        match type:
            case inspect.Metadata():
                self.value(start, end, type.type, pointer, path)
                self.format(start, end, str((type.extra_json_schema or {})["format"]), pointer, path)
            case inspect.StructType():
                if self._is(b"{", "an object", start, pointer, path):
                    self.object(start, type, pointer, path)
            case inspect.DictType():
                if self._is(b"{", "an object", start, pointer, path):
                    self.mapping(start, end, type, pointer, path)
            case inspect.ListType():
                if self._is(b"[", "an array", start, pointer, path):
                    self.array(start, type, pointer, path)
            case inspect.StrType() | inspect.LiteralType():
                if self._is(b'"', "a string", start, pointer, path):
                    self.string(start, end, type, pointer, path)
            case inspect.RawType():
                if self._is(b"{", "an object", start, pointer, path):
                    self.data = (start, end)
            case inspect.BoolType():
                if self.text[start:end] not in (b"true", b"false"):
                    self.fail(pointer, path, f"must be true or false, not {_kind(self.text[start : start + 1])}")
            case inspect.IntType() | inspect.FloatType():
                self.number(start, end, type, pointer, path)
            case _:
                raise TypeError(f"no rule for {type!r}")

    def _is(self, opening: bytes, what: str, start: int, pointer: str, path: str) -> bool:
        if self.text[start : start + 1] == opening:
            return True
        self.fail(pointer, path, f"must be {what}, not {_kind(self.text[start : start + 1])}")
        return False

    def _members(self, start: int, pointer: str, path: str) -> Iterator[tuple[str, int, int]]:
        """An object's members as (key, start, end), repeated and unsayable keys told and left out."""
        seen: set[str] = set()
        repeated: set[str] = set()
        for slice, begin, end in self.source.members(start):
            if self.is_full:
                return
            key = json_text.decode_string(slice)
            if key in repeated:
                continue
            if json_text.has_lone_surrogate(key):
                self.fail(*_place(key, pointer, path), "the name holds a lone surrogate")
            elif key in seen:
                repeated.add(key)
                self.fail(*_place(key, pointer, path), "is given more than once")
            else:
                seen.add(key)
                yield key, begin, end

    def object(self, start: int, type: inspect.Type, pointer: str, path: str) -> None:
        """An object with named fields."""
        assert isinstance(type, inspect.StructType)
        fields = _fields_of(type.cls)
        present: set[str] = set()
        for key, begin, end in self._members(start, pointer, path):
            here, name = _place(key, pointer, path)
            if key in fields:
                present.add(key)
                self.value(begin, end, fields[key].type, here, name)
            else:
                self.fail(here, name, "is no field of the envelope" if type.cls is Envelope else "is no field here")
        for key, one in fields.items():
            if one.required and key not in present:
                self.fail(f"{pointer}/{key}", f"{path}.{key}" if path else key, "is required")
        if type.cls is Envelope and not present & {"_project_ids", "_project_id"}:
            self.fail("/_project_ids", "_project_ids", "one of _project_ids and _project_id is required")

    def mapping(self, start: int, end: int, type: inspect.DictType, pointer: str, path: str) -> None:
        """An object with any keys and strings as values."""
        if self._is_sound_mapping(start, end):
            return
        first = next(self.source.members(start), None)
        if type.min_length and first is None:
            self.fail(pointer, path, f"must have at least {type.min_length} entry")
        for key, begin, stop in self._members(start, pointer, path):
            value = self.text[begin:stop]
            if value[:1] != b'"' or b"\\" in value:
                self.value(begin, stop, type.value_type, *_place(key, pointer, path))

    def _is_sound_mapping(self, start: int, end: int) -> bool:
        """Proof by decoders that an object has entries, strings alone, and no key twice."""
        try:
            found = _decode_strings(self.text[start:end])
        except (msgspec.MsgspecError, RecursionError):
            return False
        return 0 < len(found) == len(_decode_pairs(self.text[start:end]))

    def array(self, start: int, type: inspect.ListType, pointer: str, path: str) -> None:
        """An array."""
        if type.min_length is not None or type.max_length is not None:
            counted = _count(self.source, start, LONGEST_COUNT)
            if type.min_length is not None and counted < type.min_length:
                self.fail(pointer, path, f"must have at least {type.min_length} entry")
            if type.max_length is not None and counted > type.max_length:
                shown = f"{counted:,}" + (" or more" if counted == LONGEST_COUNT else "")
                self.fail(pointer, path, f"must have at most {type.max_length:,} entries, not {shown}")
                return
        elements = self.source.elements(start)
        at = 0
        while not self.is_full and (group := list(islice(elements, GROUP_ENTRIES))):
            if not _are_sound(b"[%b]" % self.text[group[0][0] : group[-1][1]], type.item_type):
                for index, (begin, end) in enumerate(group, at):
                    self.value(begin, end, type.item_type, f"{pointer}/{index}", f"{path}[{index}]")
            at += len(group)

    def string(self, start: int, end: int, type: inspect.Type, pointer: str, path: str) -> None:
        """A string: sayable, of a fixed list, within its length, of its format."""
        value = json_text.decode_string(self.text[start:end])
        if json_text.has_lone_surrogate(value):
            self.fail(pointer, path, "holds a lone surrogate (half of a UTF-16 pair)")
        elif isinstance(type, inspect.LiteralType):
            if value not in type.values:
                self.fail(pointer, path, f"must be {_one_of(type.values)}")
        elif isinstance(type, inspect.StrType) and type.max_length is not None and len(value) > type.max_length:
            self.fail(pointer, path, f"must have at most {type.max_length:,} characters, not {len(value):,}")

    def format(self, start: int, end: int, name: str, pointer: str, path: str) -> None:
        """A rule that the types cannot say."""
        if pointer in self.errors or self.text[start : start + 1] != b'"':
            return
        holds, rule = _FORMATS[name]
        if not holds(json_text.decode_string(self.text[start:end])):
            self.fail(pointer, path, rule)

    def number(self, start: int, end: int, type: inspect.IntType | inspect.FloatType, pointer: str, path: str) -> None:
        """A number within its bounds; an integer may be written with a fraction of zeros or an exponent."""
        text = self.text[start:end]
        if text[:1] not in b"-0123456789":
            self.fail(pointer, path, f"must be {_number_name(type)}, not {_kind(text)}")
            return
        value: float
        if isinstance(type, inspect.IntType):
            try:
                whole = json_text.integer(text, MAX_DIGITS)
            except OverflowError:
                self.fail(pointer, path, f"must have at most {MAX_DIGITS:,} digits")
                return
            if whole is None:
                self.fail(pointer, path, "must be an integer")
                return
            value = whole
            if not _INTEGER.fullmatch(text):
                self.integers.append((start, end, whole))
        else:
            value = float(text)
        if type.ge is not None and value < type.ge:
            self.fail(pointer, path, f"must be at least {type.ge:g}")
        elif type.le is not None and value > type.le:
            self.fail(pointer, path, f"must be at most {type.le:g}")


def _one_of(values: Any) -> str:
    words = [str(v) for v in values]
    return repr(words[0]) if len(words) == 1 else f"one of {', '.join(words)}"


def _number_name(type: inspect.IntType | inspect.FloatType) -> str:
    return "an integer" if isinstance(type, inspect.IntType) else "a number"
