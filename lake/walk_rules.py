"""The rules of the envelope's types, each with a test that separates sound values from others.

A record may contain half a million values, nearly all of them sound. The walk (`lake.walk`) visits only the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from lake.envelope import Envelope
from lake.scalar_rules import Test, are_sound_strings, test_of

# What the test of a container or an integer returns for a value that the walk has to visit.
VISIT = ""


def _visit(node: Any) -> str:
    return VISIT


@dataclass(frozen=True, slots=True)
class Rule:
    """A type with its test, which returns None for a sound value, the broken rule in words, or VISIT.

    ``inner``: the rule of an array's entries or a mapping's values.
    """

    type: inspect.Type
    test: Test = _visit
    inner: "Rule | None" = None

    def all_hold(self, nodes: Sequence[Any]) -> bool:
        """Whether the test returns None for each value. False proves nothing."""
        if not nodes:
            return True
        if are_sound_strings(nodes, self.type):
            return True
        if set(map(type, nodes)) == {str}:
            nodes = list(dict.fromkeys(nodes))  # often the same few
        return all(self.test(node) is None for node in nodes)


@dataclass(frozen=True, slots=True)
class StructRules:
    """An object's fields by name. ``unknown``: the rule that another name breaks."""

    fields: dict[str, Rule]
    required: tuple[str, ...]
    is_envelope: bool
    unknown: str

    def all_hold(self, nodes: Sequence[Any]) -> bool:
        """Whether `test` returns None for each. Cheaper for several, because each field is tested for all at once."""
        if set(map(type, nodes)) != {tuple}:
            return False
        found = list(map(dict, nodes))
        members = sum(map(len, found))
        if members != sum(map(len, nodes)):
            return False
        for key, rule in self.fields.items():
            values = [one[key] for one in found if key in one]
            if (len(values) < len(found) and key in self.required) or not rule.all_hold(values):
                return False
            members -= len(values)
        return members == 0

    def test(self, node: Any) -> str | None:
        """None for a tree of such an object without errors, else VISIT."""
        if node.__class__ is not tuple:
            return VISIT
        found = dict(node)
        if len(found) != len(node):
            return VISIT
        for key in self.required:
            if key not in found:
                return VISIT
        fields = self.fields
        for key, member in node:
            rule = fields.get(key)
            if rule is None or rule.test(member) is not None:
                return VISIT
        return None


@cache
def struct_rules(kind: type[msgspec.Struct]) -> StructRules:
    """The rules of a struct type."""
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    return StructRules(
        {one.encode_name: rule_of(one.type) for one in described.fields},
        tuple(one.encode_name for one in described.fields if one.required),
        kind is Envelope,
        "is no field of the envelope" if kind is Envelope else "is no field here",
    )


def rule_of(type: inspect.Type) -> Rule:
    """The rule of a type, with its test."""
    match type:
        case inspect.StructType():
            return Rule(type, struct_rules(type.cls).test)
        case inspect.ListType():
            return Rule(type, inner=rule_of(type.item_type))
        case inspect.DictType():
            return Rule(type, inner=rule_of(type.value_type))
        case inspect.IntType():
            return Rule(type)
        case inspect.Metadata() if (test := test_of(type)) is None:  # a title or a description of another type
            return rule_of(type.type)
    test = test_of(type)
    assert test is not None
    return Rule(type, test)
