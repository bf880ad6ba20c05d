"""The rules of values that are not containers. Each type has a test that returns the broken rule in words."""

import math
import re
import sys
from collections.abc import Callable, Collection
from functools import cache
from typing import Any

from msgspec import inspect

from lake import error_texts, json_text
from lake.formats import FORMATS
from lake.json_tree import Number
from lake.walk_nodes import opening

# The parameters here are named ``type`` too.
type_of = type
# What a test returns for a value: None if it is sound, else the broken rule in words.
Test = Callable[[Any], str | None]


def test_of(type: inspect.Type) -> Test | None:
    """The test of a type, or None for a container and for an integer, whose spelling the walk looks at."""
    match type:
        case inspect.StrType():
            return _string_test(type)
        case inspect.LiteralType():
            return _literal_test(type)
        case inspect.Metadata():
            inner, name = test_of(type.type), format_of(type)
            return inner if inner is None or name is None else _format_test(inner, name, _longest(type.type))
        case inspect.BoolType():
            return lambda node: None if node is True or node is False else not_a("true or false", opening(node))
        case inspect.FloatType():
            return _float_test(type)
        case inspect.RawType():
            return lambda node: None if opening(node) == b"{" else not_a("an object", opening(node))
    return None


def format_of(type: inspect.Metadata) -> str | None:
    """The name of the format that a string must have, if it has one."""
    name = (type.extra_json_schema or {}).get("format")
    return None if name is None else str(name)


@cache
def not_a(what: str, opening: bytes) -> str:
    """The rule that a value of another kind breaks. ``opening``: the first byte of the value."""
    return f"must be {what}, not {error_texts.kind(opening)}"


def length_rule(
    length: int, unit: str, type: inspect.ListType | inspect.DictType | inspect.StrType, *, is_cut: bool = False
) -> str | None:
    """The bound that a length breaks, if any. ``is_cut``: nothing was counted beyond it."""
    low, high = type.min_length, type.max_length
    units = {"entry": "entries"}.get(unit, f"{unit}s")
    if low is not None and length < low:
        return f"must have at least {low:,} {unit if low == 1 else units}"
    if high is not None and length > high:
        shown = f"{length:,}" + (" or more" if is_cut else "")
        return f"must have at most {high:,} {unit if high == 1 else units}, not {shown}"
    return None


def _not_text(node: Any) -> str | None:
    """What is wrong with a value that should be a string that UTF-8 can encode."""
    if node.__class__ is not str:
        return not_a("a string", opening(node))
    if json_text.has_lone_surrogate(node):
        return "holds a lone surrogate (half of a UTF-16 pair)"
    return None


def _longest(type: inspect.Type) -> int:
    """The length up to which a string of ASCII characters is sound whatever it contains. -1 if there is none."""
    if not isinstance(type, inspect.StrType) or type.min_length is not None or type.pattern is not None:
        return -1
    return sys.maxsize if type.max_length is None else type.max_length


def are_sound_strings(values: Collection[Any], type: inspect.Type) -> bool:
    """Whether some values are strings that `_string_test` accepts. Runs in native code. False proves nothing."""
    longest = _longest(type)
    return (
        longest >= 0
        and set(map(type_of, values)) == {str}
        and len(max(values, key=len)) <= longest
        and not json_text.has_lone_surrogate("".join(values))
    )


def _string_test(type: inspect.StrType) -> Test:
    pattern = None if type.pattern is None else re.compile(type.pattern)
    longest = _longest(type)

    def test(node: Any) -> str | None:
        if node.__class__ is str and len(node) <= longest and node.isascii():
            return None
        if broken := _not_text(node) or length_rule(len(node), "character", type):
            return broken
        if pattern is not None and pattern.search(node) is None:
            return f"must match the pattern {type.pattern}"
        return None

    return test


def _literal_test(type: inspect.LiteralType) -> Test:
    values = frozenset(type.values)
    wrong = f"must be {error_texts.one_of(tuple(type.values))}"
    return lambda node: None if node.__class__ is str and node in values else _not_text(node) or wrong


def _format_test(inner: Test, name: str, longest: int) -> Test:
    """``longest``: the length up to which a string of ASCII characters passes the inner test."""
    holds, wrong = FORMATS[name]

    def test(node: Any) -> str | None:
        is_short = node.__class__ is str and len(node) <= longest and node.isascii()
        if not is_short and (broken := inner(node)) is not None:
            return broken
        return None if holds(node) else wrong

    return test


def _float_test(type: inspect.FloatType) -> Test:
    def test(node: Any) -> str | None:
        if node.__class__ is not Number:
            return not_a(error_texts.number_name(type), opening(node))
        return bounds_rule(float(node), type)

    return test


def bounds_rule(value: float, type: inspect.IntType | inspect.FloatType) -> str | None:
    """The bound of a number that a value breaks, if any."""
    if type.ge is not None and value < type.ge:
        return f"must be at least {type.ge:g}"
    if type.gt is not None and value <= type.gt:
        return f"must be greater than {type.gt:g}"
    if type.le is not None and value > type.le:
        return f"must be at most {type.le:g}"
    if type.lt is not None and value >= type.lt:
        return f"must be less than {type.lt:g}"
    if isinstance(value, float) and not math.isfinite(value):
        return "is out of the range of numbers"
    if type.multiple_of is not None and not _is_multiple(value, type.multiple_of):
        return f"must be a multiple of {type.multiple_of:g}"
    return None


def _is_multiple(value: float, of: float) -> bool:
    """As the decoder sees it."""
    return value % of == 0 if isinstance(value, int) and isinstance(of, int) else math.fmod(value, of) == 0
