"""Every error of a record: a walk over the same types that the fast decoder checks, by the bytes that were sent.

One error per JSON pointer (the first rule broken there), at most 100 a record. A record in which the walk finds nothing
is valid, whatever the fast decoder thought of it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, inspect

from lake import json_text
from lake.envelope import (
    INVALID_JSON,
    MAX_ERRORS,
    RECORD_TYPES,
    VALIDATION_ERROR,
    Envelope,
    FieldError,
    decode_quickly,
    is_email,
    is_instant,
    is_record_type,
    is_uri,
)
from lake.json_text import JsonSyntaxError

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

_ROOT = inspect.type_info(Envelope)
_decode_head = msgspec.json.Decoder(Envelope).decode


def check_schema(raw: bytes) -> Envelope | list[FieldError]:
    """The envelope of one record's JSON text, or all its errors. Never raises for any bytes."""
    return decode_quickly([raw])[0] or explain(raw)


def explain(raw: bytes) -> Envelope | list[FieldError]:
    """The patient way: all errors, or the envelope where there are none."""
    text = _object_text(raw, "record")
    if isinstance(text, list):
        return text
    walk = _Walk(text)
    walk.object(0, _ROOT, "", "")
    if walk.errors:
        return list(walk.errors.values())[:MAX_ERRORS]
    start, end = walk.data
    envelope = _decode_head(text[:start] + b"{}" + text[end:])
    envelope.data = Raw(text[start:end])
    return envelope


def check_object(raw: bytes, kind: type[T]) -> T | list[FieldError]:
    """A small JSON object of the API by its struct's rules, or all its errors. Never raises for any bytes."""
    text = _object_text(raw, "body")
    if isinstance(text, list):
        return text
    walk = _Walk(text)
    walk.object(0, inspect.type_info(kind), "", "")
    return list(walk.errors.values()) or msgspec.json.decode(text, type=kind)


def _object_text(raw: bytes, what: str) -> bytes | list[FieldError]:
    """The bytes without white space around them, when they are one JSON object; else the one error."""
    try:
        raw.decode()
        text = raw.strip(b" \t\r\n")
        end = json_text.skip_value(text, 0)
        if end != len(text):
            raise JsonSyntaxError(end, "something follows the value")
    except UnicodeDecodeError as error:
        return [_not_json(raw, error.start, "not UTF-8")]
    except JsonSyntaxError as error:
        return [_not_json(text, error.offset, error.reason)]
    if text[:1] != b"{":
        return [FieldError(VALIDATION_ERROR, "", f"the {what} must be an object, not {_kind(text)}")]
    return text


def _not_json(text: bytes, offset: int, reason: str) -> FieldError:
    line, column = json_text.place(text, offset)
    return FieldError(INVALID_JSON, "", f"the record is not JSON: {reason} at line {line}, column {column}")


def attachment_count(raw: bytes) -> int:
    """The entries of ``_attachments``, whatever else is wrong with the record."""
    return sum(
        len(json_text.elements(text, start))
        for text, key, start in _fields(raw, b"_attachments")
        if text[start] == 0x5B
    )


def declared_type(raw: bytes) -> str | None:
    """The record's type, lower-cased, when it names a valid one, whatever else is wrong with the record."""
    for text, _, start in _fields(raw, b"_type"):
        if text[start : start + 1] == b'"':
            value = json_text.decode_string(text[start : json_text.skip_value(text, start)])
            if is_record_type(value):
                return value.lower()
    return None


def _fields(raw: bytes, name: bytes) -> list[tuple[bytes, str, int]]:
    """Where the values of a top-level field begin; nothing where the record is no object."""
    text = raw.strip(b" \t\r\n")
    if text[:1] != b"{":
        return []
    try:
        raw.decode()
        found = json_text.members(text, 0)
    except (JsonSyntaxError, UnicodeDecodeError):
        return []
    wanted = name.decode()
    return [(text, wanted, start) for key, start, _ in found if json_text.decode_string(key) == wanted]


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


def _shown(pointer: str) -> str:
    """A pointer with each of its names cleaned."""
    names = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")]
    return "/".join(_escaped(_clean(name)) for name in names)


@dataclass(slots=True)
class _Walk:
    """One pass over a record's text. ``errors``: by their whole pointer, which is shown with long names cut."""

    text: bytes
    errors: dict[str, FieldError] = field(default_factory=dict)
    data: tuple[int, int] = (0, 0)

    def fail(self, pointer: str, path: str, rule: str) -> None:
        """Note an error, the first one of a pointer only."""
        if pointer not in self.errors and len(self.errors) < MAX_ERRORS:
            message = f"{path}: {rule}" if path else rule
            self.errors[pointer] = FieldError(VALIDATION_ERROR, _shown(pointer), message[:MAX_MESSAGE])

    def value(self, start: int, end: int, type: inspect.Type, pointer: str, path: str) -> None:
        """Check one value against its type."""
        if len(self.errors) >= MAX_ERRORS:
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
                    self.mapping(start, type, pointer, path)
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
                    self.fail(pointer, path, f"must be true or false, not {_kind(self.text[start:end])}")
            case inspect.IntType() | inspect.FloatType():
                self.number(start, end, type, pointer, path)
            case _:
                raise TypeError(f"no rule for {type!r}")

    def _is(self, opening: bytes, what: str, start: int, pointer: str, path: str) -> bool:
        if self.text[start : start + 1] == opening:
            return True
        self.fail(pointer, path, f"must be {what}, not {_kind(self.text[start:])}")
        return False

    def _members(self, start: int, pointer: str, path: str) -> list[tuple[str, str, str, int, int]]:
        """An object's members as (key, pointer, path, start, end), repeated and unsayable keys told and left out."""
        found: list[tuple[str, str, str, int, int]] = []
        seen: set[str] = set()
        for slice, begin, end in json_text.members(self.text, start):
            key = json_text.decode_string(slice)
            shown = _clean(key)
            here = f"{pointer}/{_escaped(key)}"
            name = f"{path}.{shown}" if path else shown
            if json_text.has_lone_surrogate(key):
                self.fail(here, name, "the name holds a lone surrogate")
            elif key in seen:
                self.fail(here, name, "is given more than once")
            else:
                seen.add(key)
                found.append((key, here, name, begin, end))
        return found

    def object(self, start: int, type: inspect.Type, pointer: str, path: str) -> None:
        """An object with named fields."""
        assert isinstance(type, inspect.StructType)
        fields = {f.encode_name: f for f in type.fields}
        present: set[str] = set()
        for key, here, name, begin, end in self._members(start, pointer, path):
            present.add(key)
            if key in fields:
                self.value(begin, end, fields[key].type, here, name)
            else:
                self.fail(here, name, "is no field of the envelope" if type.cls is Envelope else "is no field here")
        for key, one in fields.items():
            if one.required and key not in present:
                self.fail(f"{pointer}/{key}", f"{path}.{key}" if path else key, "is required")
        if type.cls is Envelope and not present & {"_project_ids", "_project_id"}:
            self.fail("/_project_ids", "_project_ids", "one of _project_ids and _project_id is required")

    def mapping(self, start: int, type: inspect.DictType, pointer: str, path: str) -> None:
        """An object with any keys."""
        members = self._members(start, pointer, path)
        # What `_members` left out has its own error and counts as an entry.
        if type.min_length is not None and len(json_text.members(self.text, start)) < type.min_length:
            self.fail(pointer, path, f"must have at least {type.min_length} entry")
        for _, here, name, begin, end in members:
            self.value(begin, end, type.value_type, here, name)

    def array(self, start: int, type: inspect.ListType, pointer: str, path: str) -> None:
        """An array."""
        elements = json_text.elements(self.text, start)
        if type.min_length is not None and len(elements) < type.min_length:
            self.fail(pointer, path, f"must have at least {type.min_length} entry")
        if type.max_length is not None and len(elements) > type.max_length:
            self.fail(pointer, path, f"must have at most {type.max_length:,} entries, not {len(elements):,}")
            return
        for index, (begin, end) in enumerate(elements):
            self.value(begin, end, type.item_type, f"{pointer}/{index}", f"{path}[{index}]")

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
        """A number within its bounds; an integer is written as one."""
        text = self.text[start:end]
        if text[:1] not in b"-0123456789":
            self.fail(pointer, path, f"must be {_number_name(type)}, not {_kind(text)}")
            return
        value: float
        if isinstance(type, inspect.IntType):
            if not _INTEGER.fullmatch(text):
                self.fail(pointer, path, "must be an integer")
                return
            if len(text) > MAX_DIGITS:
                self.fail(pointer, path, f"must have at most {MAX_DIGITS:,} digits")
                return
            value = int(text)
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
