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
from msgspec import UNSET, Meta, Raw, UnsetType, inspect
from msgspec.structs import astuple

from lake import json_syntax, json_text, json_tree
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
from lake.json_syntax import JsonSyntaxError, without_surrogates
from lake.json_text import JsonText

MAX_MESSAGE = 2048
# Python turns no longer texts into integers (sys.get_int_max_str_digits).
MAX_DIGITS = 4300

_INTEGER = re.compile(rb"-?[0-9]+")
_SURROGATES = re.compile("[\ud800-\udfff]")
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


# Of longer records no tree is made.
SHORT_BYTES = 512 * 1024


class _Data(msgspec.Struct, gc=False):
    """The last ``data`` of a record."""

    data: Raw | UnsetType = UNSET


_decode_data = msgspec.json.Decoder(_Data).decode


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


@cache
def _required(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(key for key, one in _fields_of(kind).items() if one.required)


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
    if len(text.raw) <= SHORT_BYTES and (told := _explain_short(text.raw)) is not None:
        return told
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
        walk = _Walk(_Places(text))
        walk.object((0, len(text.raw)), _ROOT, "", "")
        found.errors = list(walk.errors.values())
        if not found.errors:
            start, end = walk.data
            found.envelope = _decode_head(walk.rewritten(text.raw, start, end))
            found.envelope.data = Raw(text.raw[start:end])
    return found


def _explain_short(raw: bytes) -> Explanation | None:
    """The same by a tree of the whole record but its data. None: there is none, or the places of values are needed."""
    try:
        head, data = _parted(raw)
        if data is not None and (envelope := decode_quickly([head])[0]) is not None:
            envelope.data = Raw(data)
            return Explanation(envelope=envelope)
        members = json_tree.tree(head)
    except (msgspec.MsgspecError, RecursionError):
        return None
    found = Explanation()
    for key, value in members:
        if key == "_attachments" and isinstance(value, list):
            found.attachment_count += min(len(value), ENOUGH_ATTACHMENTS)
        elif key == "_type" and value.__class__ is str and found.type is None:
            found.type = value.lower() if is_record_type(value) else None
    walk = _Walk(_Tree())
    walk.object(members, _ROOT, "", "")
    found.errors = list(walk.errors.values())
    if found.errors:
        return found
    if walk.integers or data is None:
        return None
    found.envelope = _decode_head(head)
    found.envelope.data = Raw(data)
    return found


def _parted(raw: bytes) -> tuple[bytes, bytes | None]:
    """The record with ``{}`` for its data, and the data; None in place of data that is no object or is not there.

    Raises where the decoder gives up, or the data's place is in doubt.
    """
    plain = without_surrogates(raw)
    found = _decode_data(plain).data
    if isinstance(found, UnsetType) or (data := bytes(found))[:1] != b"{":
        return raw, None
    at = plain.rfind(data)
    end = at + len(data)
    again = _decode_data(plain[:at] + b"{}" + plain[end:]).data
    if isinstance(again, UnsetType) or bytes(again) != b"{}":
        raise msgspec.DecodeError("the same text stands elsewhere")
    return raw[:at] + b"{}" + raw[end:], raw[at:end]


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
    walk = _Walk(_Places(text))
    walk.object((0, len(text.raw)), inspect.type_info(kind), "", "")
    return list(walk.errors.values()) or msgspec.json.decode(walk.rewritten(text.raw), type=kind)


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
    return short if short.isascii() else _SURROGATES.sub("\ufffd", short)


def _escaped(key: str) -> str:
    """A name as a part of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1") if "~" in key or "/" in key else key


def _place(key: str, pointer: str, path: str) -> tuple[str, str]:
    """A member's pointer and its path for people."""
    return f"{pointer}/{_escaped(key)}", f"{path}.{_clean(key)}" if path else _clean(key)


def _shown(pointer: str) -> str:
    """A pointer with each of its names cleaned."""
    if len(pointer) <= 128 and pointer.isascii():
        return pointer
    names = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")]
    return "/".join(_escaped(_clean(name)) for name in names)


class _Places:
    """A long or deep text: a node is where a value begins and ends."""

    __slots__ = ("text",)

    def __init__(self, text: JsonText) -> None:
        self.text = text

    def opening(self, node: Any) -> bytes:
        return self.text.raw[node[0] : node[0] + 1]

    def members(self, node: Any) -> Iterator[tuple[str, Any]]:
        for slice, start, end in self.text.members(node[0]):
            yield json_text.decode_string(slice), (start, end)

    def count(self, node: Any) -> int:
        return _count(self.text, node[0], LONGEST_COUNT)

    def doubtful(self, node: Any, type: inspect.Type) -> Iterator[tuple[int, Any]]:
        """The entries of an array that no decoder proves, with their indexes."""
        elements = self.text.elements(node[0])
        raw = self.text.raw
        at = 0
        while group := list(islice(elements, GROUP_ENTRIES)):
            if not _are_sound(b"[%b]" % raw[group[0][0] : group[-1][1]], type):
                for index, (begin, end) in enumerate(group, at):
                    if not _are_sound(b"[%b]" % raw[begin:end], type):
                        yield index, (begin, end)
            at += len(group)

    def is_sound_mapping(self, node: Any) -> bool:
        """Proof by decoders that an object has entries, strings alone, and no key twice."""
        text = self.text.raw[node[0] : node[1]]
        try:
            found = _decode_strings(text)
        except (msgspec.MsgspecError, RecursionError):
            return False
        return 0 < len(found) == len(_decode_pairs(text))

    def tree(self, node: Any) -> Any:
        """What is looked at key by key as a tree, unless it is nested too deep."""
        try:
            return json_tree.tree(self.text.raw[node[0] : node[1]])
        except RecursionError:
            return None

    def string(self, node: Any) -> str:
        return json_text.decode_string(self.text.raw[node[0] : node[1]])

    def number(self, node: Any) -> bytes:
        return self.text.raw[node[0] : node[1]]


class _Tree:
    """A short text, whose nodes are `lake.json_tree`'s."""

    __slots__ = ()
    opening = staticmethod(json_tree.opening)

    def members(self, node: Any) -> Iterator[tuple[str, Any]]:
        return iter(node)

    def count(self, node: Any) -> int:
        return min(len(node), LONGEST_COUNT)

    def doubtful(self, node: Any, type: inspect.Type) -> Iterator[tuple[int, Any]]:
        """All entries of an array, with their indexes."""
        return enumerate(node)

    def is_sound_mapping(self, node: Any) -> bool:
        """Nothing is proven at once."""
        return False

    def string(self, node: Any) -> str:
        return str(node)

    def number(self, node: Any) -> bytes:
        return str(node).encode()


@dataclass(slots=True)
class _Walk:
    """One pass over a record.

    ``errors``: by their whole pointer, which is shown with long names cut. ``data``: its node. ``integers``: node and value
    of those that are not written as decoders take them, such as ``5.0``.
    """

    source: _Places | _Tree
    errors: dict[str, FieldError] = field(default_factory=dict)
    data: Any = (0, 0)
    integers: list[tuple[Any, int]] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        """Whether no further error is noted."""
        return len(self.errors) >= MAX_ERRORS

    def rewritten(self, text: bytes, start: int = 0, end: int = 0) -> bytes:
        """The text with ``{}`` for what stands from ``start`` to ``end``, and its integers in the one spelling of decoders."""
        parts: list[bytes] = []
        at = 0
        changes = [(a, b, b"%d" % value) for (a, b), value in self.integers]
        for a, b, new in sorted([*changes, (start, end, b"{}")] if end else changes):
            parts += (text[at:a], new)
            at = b
        return b"".join([*parts, text[at:]])

    def fail(self, pointer: str, path: str, rule: str) -> None:
        """Note an error, the first one of a pointer only."""
        if pointer not in self.errors and len(self.errors) < MAX_ERRORS:
            message = f"{path}: {rule}" if path else rule
            self.errors[pointer] = FieldError(VALIDATION_ERROR, _shown(pointer), message[:MAX_MESSAGE])

    def value(self, node: Any, type: inspect.Type, pointer: str, path: str) -> None:
        """Check one value against its type."""
        if self.is_full:
            return
        match type:
            case inspect.StrType() | inspect.LiteralType():
                if self._is(b'"', "a string", node, pointer, path):
                    self.string(node, type, pointer, path)
            case inspect.Metadata():
                self.value(node, type.type, pointer, path)
                self.format(node, str((type.extra_json_schema or {})["format"]), pointer, path)
            case inspect.StructType():
                if self._is(b"{", "an object", node, pointer, path):
                    self.object(node, type, pointer, path)
            case inspect.DictType():
                if self._is(b"{", "an object", node, pointer, path):
                    self.mapping(node, type, pointer, path)
            case inspect.ListType():
                if self._is(b"[", "an array", node, pointer, path):
                    self.array(node, type, pointer, path)
            case inspect.RawType():
                if self._is(b"{", "an object", node, pointer, path):
                    self.data = node
            case inspect.BoolType():
                if (opening := self.source.opening(node)) not in (b"t", b"f"):
                    self.fail(pointer, path, f"must be true or false, not {_kind(opening)}")
            case inspect.IntType() | inspect.FloatType():
                self.number(node, type, pointer, path)
            case _:
                raise TypeError(f"no rule for {type!r}")

    def _is(self, opening: bytes, what: str, node: Any, pointer: str, path: str) -> bool:
        found = self.source.opening(node)
        if found == opening:
            return True
        self.fail(pointer, path, f"must be {what}, not {_kind(found)}")
        return False

    def _members(self, node: Any, pointer: str, path: str) -> Iterator[tuple[str, Any]]:
        """An object's members, repeated and unsayable keys told and left out."""
        seen: set[str] = set()
        repeated: set[str] = set()
        for key, member in self.source.members(node):
            if key in repeated:
                continue
            if len(self.errors) >= MAX_ERRORS:
                return
            if not key.isascii() and json_text.has_lone_surrogate(key):
                self.fail(*_place(key, pointer, path), "the name holds a lone surrogate")
            elif key in seen:
                repeated.add(key)
                self.fail(*_place(key, pointer, path), "is given more than once")
            else:
                seen.add(key)
                yield key, member

    def object(self, node: Any, type: inspect.Type, pointer: str, path: str) -> None:
        """An object with named fields."""
        assert isinstance(type, inspect.StructType)
        fields = _fields_of(type.cls)
        present: set[str] = set()
        for key, member in self._members(node, pointer, path):
            if key in fields:
                present.add(key)
                one = fields[key].type
                if not self._is_plain(member, one):
                    self.value(member, one, f"{pointer}/{key}", f"{path}.{key}" if path else key)
            else:
                rule = "is no field of the envelope" if type.cls is Envelope else "is no field here"
                self.fail(*_place(key, pointer, path), rule)
        for key in _required(type.cls):
            if key not in present:
                self.fail(f"{pointer}/{key}", f"{path}.{key}" if path else key, "is required")
        if type.cls is Envelope and not present & {"_project_ids", "_project_id"}:
            self.fail("/_project_ids", "_project_ids", "one of _project_ids and _project_id is required")

    def _is_plain(self, node: Any, type: inspect.Type) -> bool:
        """Whether a node of a tree is a string that nothing is wrong with, as most are."""
        if node.__class__ is not str:
            return False
        if isinstance(type, inspect.StrType):
            return node.isascii() and (type.max_length is None or len(node) <= type.max_length)
        return isinstance(type, inspect.LiteralType) and node in type.values

    def mapping(self, node: Any, type: inspect.DictType, pointer: str, path: str) -> None:
        """An object with any keys and strings as values."""
        if self.source.is_sound_mapping(node):
            return
        if isinstance(self.source, _Places) and (members := self.source.tree(node)) is not None:
            _Walk(_Tree(), self.errors).mapping(members, type, pointer, path)
            return
        if type.min_length and next(iter(self.source.members(node)), None) is None:
            self.fail(pointer, path, f"must have at least {type.min_length} entry")
        for key, member in self._members(node, pointer, path):
            if not self._is_plain(member, type.value_type):
                self.value(member, type.value_type, *_place(key, pointer, path))

    def array(self, node: Any, type: inspect.ListType, pointer: str, path: str) -> None:
        """An array."""
        if type.min_length is not None or type.max_length is not None:
            counted = self.source.count(node)
            if type.min_length is not None and counted < type.min_length:
                self.fail(pointer, path, f"must have at least {type.min_length} entry")
            if type.max_length is not None and counted > type.max_length:
                shown = f"{counted:,}" + (" or more" if counted == LONGEST_COUNT else "")
                self.fail(pointer, path, f"must have at most {type.max_length:,} entries, not {shown}")
                return
        for index, entry in self.source.doubtful(node, type.item_type):
            if self.is_full:
                return
            if not self._is_plain(entry, type.item_type):
                self.value(entry, type.item_type, f"{pointer}/{index}", f"{path}[{index}]")

    def string(self, node: Any, type: inspect.Type, pointer: str, path: str) -> None:
        """A string: sayable, of a fixed list, within its length, of its format."""
        value = self.source.string(node)
        if json_text.has_lone_surrogate(value):
            self.fail(pointer, path, "holds a lone surrogate (half of a UTF-16 pair)")
        elif isinstance(type, inspect.LiteralType):
            if value not in type.values:
                self.fail(pointer, path, f"must be {_one_of(tuple(type.values))}")
        elif isinstance(type, inspect.StrType) and type.max_length is not None and len(value) > type.max_length:
            self.fail(pointer, path, f"must have at most {type.max_length:,} characters, not {len(value):,}")

    def format(self, node: Any, name: str, pointer: str, path: str) -> None:
        """A rule that the types cannot say."""
        if pointer in self.errors or self.source.opening(node) != b'"':
            return
        holds, rule = _FORMATS[name]
        if not holds(self.source.string(node)):
            self.fail(pointer, path, rule)

    def number(self, node: Any, type: inspect.IntType | inspect.FloatType, pointer: str, path: str) -> None:
        """A number within its bounds; an integer may be written with a fraction of zeros or an exponent."""
        opening = self.source.opening(node)
        if opening not in b"-0123456789":
            self.fail(pointer, path, f"must be {_number_name(type)}, not {_kind(opening)}")
            return
        text = self.source.number(node)
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
                self.integers.append((node, whole))
        else:
            value = float(text)
        if type.ge is not None and value < type.ge:
            self.fail(pointer, path, f"must be at least {type.ge:g}")
        elif type.le is not None and value > type.le:
            self.fail(pointer, path, f"must be at most {type.le:g}")


@cache
def _one_of(values: Any) -> str:
    words = [str(v) for v in values]
    return repr(words[0]) if len(words) == 1 else f"one of {', '.join(words)}"


def _number_name(type: inspect.IntType | inspect.FloatType) -> str:
    return "an integer" if isinstance(type, inspect.IntType) else "a number"
