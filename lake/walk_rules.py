"""The rules of the envelope's types, each with a quick test that only sound values pass.

A record may contain half a million values, nearly all of them sound. The walk (`lake.walk`) visits only the others.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from lake.envelope import Envelope
from lake.formats import FORMATS
from lake.json_tree import Number


def _never(node: Any) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Rule:
    """A type, and a test that only sound values pass. A value that fails may still be sound.

    ``inner``: the rule of an array's entries or a mapping's values, or the type below a format.
    """

    type: inspect.Type
    is_sound: Callable[[Any], bool] = _never
    inner: "Rule | None" = None


@dataclass(frozen=True, slots=True)
class StructRules:
    """An object's fields by name."""

    fields: dict[str, Rule]
    required: tuple[str, ...]
    is_envelope: bool

    def is_sound(self, node: Any) -> bool:
        """Whether a tree is such an object without errors."""
        if node.__class__ is not tuple:
            return False
        found = dict(node)
        if len(found) != len(node):
            return False
        for key in self.required:
            if key not in found:
                return False
        fields = self.fields
        for key, member in node:
            rule = fields.get(key)
            if rule is None or not rule.is_sound(member):
                return False
        return True


@cache
def struct_rules(kind: type[msgspec.Struct]) -> StructRules:
    """The rules of a struct type."""
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    return StructRules(
        {one.encode_name: rule_of(one.type) for one in described.fields},
        tuple(one.encode_name for one in described.fields if one.required),
        kind is Envelope,
    )


def rule_of(type: inspect.Type) -> Rule:
    """The rule of a type, with its test."""
    match type:
        case inspect.StrType(max_length=max_length, min_length=None, pattern=None):
            longest = sys.maxsize if max_length is None else max_length
            return Rule(type, lambda node: node.__class__ is str and len(node) <= longest and node.isascii())
        case inspect.LiteralType():
            values = frozenset(type.values)
            return Rule(type, lambda node: node.__class__ is str and node in values)
        case inspect.Metadata():
            inner = rule_of(type.type)
            name = format_of(type)
            if name is None:  # a title or a description
                return inner
            is_sound, holds = inner.is_sound, FORMATS[name][0]
            return Rule(type, lambda node: is_sound(node) and holds(node), inner)
        case inspect.StructType():
            return Rule(type, struct_rules(type.cls).is_sound)
        case inspect.FloatType(ge=low, le=high, gt=None, lt=None, multiple_of=None) if (
            low is not None and high is not None
        ):
            return Rule(type, lambda node: node.__class__ is Number and low <= float(node) <= high)
        case inspect.ListType():
            return Rule(type, inner=rule_of(type.item_type))
        case inspect.DictType():
            return Rule(type, inner=rule_of(type.value_type))
    return Rule(type)


def format_of(type: inspect.Metadata) -> str | None:
    """The name of the format that a string must have, if it has one."""
    name = (type.extra_json_schema or {}).get("format")
    return None if name is None else str(name)
