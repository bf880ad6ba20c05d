"""The validation of a record, written as simply as possible: value by value, with a scanner that goes token by token.

`lake.walk` takes many short cuts and has to find the same errors in the same order.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import inspect

from lake.envelope import Envelope
from lake.error_texts import clean, escaped, kind, number_name, one_of
from lake.field_errors import MAX_ERRORS, VALIDATION_ERROR, FieldError
from lake.formats import FORMATS, is_record_type
from lake.json_text import MAX_DIGITS, integer
from lake.walk import LONGEST_COUNT, MAX_MESSAGE
from tests.lake.plain_scanner import decode_string, elements, has_lone_surrogate, members

Node = tuple[int, int]


@dataclass
class Plain:
    """A record's errors, the number of its attachments (each list counts up to 1,001) and its type."""

    errors: list[FieldError]
    attachment_count: int
    type: str | None


def plainly(text: bytes) -> Plain:
    """Examines the text of an object."""
    found = Plain([], 0, None)
    for slice, start, end in members(text, 0):
        key = decode_string(slice)
        if key == "_attachments" and text[start : start + 1] == b"[":
            found.attachment_count += min(len(elements(text, start)), 1001)
        elif key == "_type" and text[start : start + 1] == b'"' and found.type is None:
            value = decode_string(text[start:end])
            found.type = value.lower() if is_record_type(value) else None
    walk = PlainWalk(text)
    walk.object((0, len(text)), Envelope, "", "")
    found.errors = list(walk.errors.values())
    return found


def _place(key: str, pointer: str, path: str) -> tuple[str, str]:
    return f"{pointer}/{escaped(key)}", f"{path}.{clean(key)}" if path else clean(key)


def _shown(pointer: str) -> str:
    names = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")]
    return "/".join(escaped(clean(name)) for name in names)


@dataclass
class PlainWalk:
    """One pass over the text of an object. A node is the start and end of a value."""

    text: bytes
    errors: dict[str, FieldError] = field(default_factory=dict)

    def opening(self, node: Node) -> bytes:
        return self.text[node[0] : node[0] + 1]

    def string_of(self, node: Node) -> str:
        return decode_string(self.text[node[0] : node[1]])

    def fail(self, pointer: str, path: str, rule: str) -> None:
        if pointer not in self.errors and len(self.errors) < MAX_ERRORS:
            message = f"{path}: {rule}" if path else rule
            self.errors[pointer] = FieldError(VALIDATION_ERROR, _shown(pointer), message[:MAX_MESSAGE])

    def value(self, node: Node, type: inspect.Type, pointer: str, path: str) -> None:
        match type:
            case inspect.StrType() | inspect.LiteralType():
                if self.is_a(b'"', "a string", node, pointer, path):
                    self.string(node, type, pointer, path)
            case inspect.Metadata():
                self.value(node, type.type, pointer, path)
                self.format(node, str((type.extra_json_schema or {})["format"]), pointer, path)
            case inspect.StructType():
                if self.is_a(b"{", "an object", node, pointer, path):
                    self.object(node, type.cls, pointer, path)
            case inspect.DictType():
                if self.is_a(b"{", "an object", node, pointer, path):
                    if type.min_length and not members(self.text, node[0]):
                        self.fail(pointer, path, f"must have at least {type.min_length} entry")
                    for key, member in self.once(node, pointer, path):
                        self.value(member, type.value_type, *_place(key, pointer, path))
            case inspect.ListType():
                if self.is_a(b"[", "an array", node, pointer, path):
                    self.array(node, type, pointer, path)
            case inspect.RawType():
                self.is_a(b"{", "an object", node, pointer, path)
            case inspect.BoolType():
                if self.opening(node) not in (b"t", b"f"):
                    self.fail(pointer, path, f"must be true or false, not {kind(self.opening(node))}")
            case inspect.IntType() | inspect.FloatType():
                self.number(node, type, pointer, path)

    def is_a(self, wanted: bytes, what: str, node: Node, pointer: str, path: str) -> bool:
        if self.opening(node) != wanted:
            self.fail(pointer, path, f"must be {what}, not {kind(self.opening(node))}")
        return self.opening(node) == wanted

    def once(self, node: Node, pointer: str, path: str) -> Iterator[tuple[str, Node]]:
        seen: set[str] = set()
        for slice, start, end in members(self.text, node[0]):
            key = decode_string(slice)
            if len(self.errors) >= MAX_ERRORS:
                return
            if has_lone_surrogate(key):
                self.fail(*_place(key, pointer, path), "the name holds a lone surrogate")
            elif key in seen:
                self.fail(*_place(key, pointer, path), "is given more than once")
            else:
                seen.add(key)
                yield key, (start, end)

    def object(self, node: Node, cls: type[msgspec.Struct], pointer: str, path: str) -> None:
        described = inspect.type_info(cls)
        assert isinstance(described, inspect.StructType)
        fields = {one.encode_name: one for one in described.fields}
        present: set[str] = set()
        for key, member in self.once(node, pointer, path):
            present.add(key)
            if key in fields:
                self.value(member, fields[key].type, f"{pointer}/{key}", f"{path}.{key}" if path else key)
            else:
                rule = "is no field of the envelope" if cls is Envelope else "is no field here"
                self.fail(*_place(key, pointer, path), rule)
        for key, one in fields.items():
            if one.required and key not in present:
                self.fail(f"{pointer}/{key}", f"{path}.{key}" if path else key, "is required")
        if cls is Envelope and not present & {"_project_ids", "_project_id"}:
            self.fail("/_project_ids", "_project_ids", "one of _project_ids and _project_id is required")

    def array(self, node: Node, type: inspect.ListType, pointer: str, path: str) -> None:
        entries = elements(self.text, node[0])
        if type.min_length is not None and len(entries) < type.min_length:
            self.fail(pointer, path, f"must have at least {type.min_length} entry")
        if type.max_length is not None and len(entries) > type.max_length:
            shown = f"{len(entries):,}" if len(entries) < LONGEST_COUNT else f"{LONGEST_COUNT:,} or more"
            self.fail(pointer, path, f"must have at most {type.max_length:,} entries, not {shown}")
            return
        for index, entry in enumerate(entries):
            self.value(entry, type.item_type, f"{pointer}/{index}", f"{path}[{index}]")

    def string(self, node: Node, type: inspect.Type, pointer: str, path: str) -> None:
        value = self.string_of(node)
        if has_lone_surrogate(value):
            self.fail(pointer, path, "holds a lone surrogate (half of a UTF-16 pair)")
        elif isinstance(type, inspect.LiteralType):
            if value not in type.values:
                self.fail(pointer, path, f"must be {one_of(tuple(type.values))}")
        elif isinstance(type, inspect.StrType) and type.max_length is not None and len(value) > type.max_length:
            self.fail(pointer, path, f"must have at most {type.max_length:,} characters, not {len(value):,}")

    def format(self, node: Node, name: str, pointer: str, path: str) -> None:
        if pointer not in self.errors and self.opening(node) == b'"':
            holds, rule = FORMATS[name]
            if not holds(self.string_of(node)):
                self.fail(pointer, path, rule)

    def number(self, node: Node, type: inspect.IntType | inspect.FloatType, pointer: str, path: str) -> None:
        if self.opening(node) not in b"-0123456789":
            self.fail(pointer, path, f"must be {number_name(type)}, not {kind(self.opening(node))}")
            return
        text = self.text[node[0] : node[1]]
        value: Any = float(text)
        if isinstance(type, inspect.IntType):
            try:
                value = integer(text, MAX_DIGITS)
            except OverflowError:
                self.fail(pointer, path, f"must have at most {MAX_DIGITS:,} digits")
                return
            if value is None:
                self.fail(pointer, path, "must be an integer")
                return
            value = int(value)
        if type.ge is not None and value < type.ge:
            self.fail(pointer, path, f"must be at least {type.ge:g}")
        elif type.le is not None and value > type.le:
            self.fail(pointer, path, f"must be at most {type.le:g}")
