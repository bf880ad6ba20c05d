"""Checks the fields of the envelope when `lake.envelope` is imported.

A field is one line there, and everything else follows from its type. Three modules interpret the type: the validator, the
walk that finds all errors, and normalization. A type or default that one of them does not support raises WrongField, because
records would otherwise be judged by only a part of the rule.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import NODEFAULT, UNSET, inspect

# Ends a pattern in Python and in JSON Schema: no character follows.
END = r"(?![\s\S])"
# Escapes and character sets. A `$` in them is an ordinary character.
_ESCAPED = re.compile(r"\\[^AZz]|\[\^?\]?(?:\\[\s\S]|[^\]\\])*+\]")

# Tests a decoded value of a field.
Test = Callable[[Any], bool]


class WrongField(TypeError):
    """A field of the envelope that is not supported. The message names the field and the rule."""


def check_fields(kind: type[msgspec.Struct], *, formats: Collection[str]) -> None:
    """Raise WrongField unless every field has a supported type. ``formats``: the names of known formats."""
    for one in _fields(kind):
        place = f"{kind.__name__}.{one.name}"
        if isinstance(one.type, inspect.RawType):
            if one.encode_name != "data":
                raise WrongField(f"{place}: only data may have the type Raw (any JSON)")
            continue
        _check_type(one.type, place, formats, seen=(kind,))
        _check_default(one, place)


def _check_type(type: inspect.Type, place: str, formats: Collection[str], seen: tuple[Any, ...]) -> None:
    match type:
        case inspect.StrType(pattern=pattern):
            _check_pattern(pattern, place)
        case inspect.BoolType() | inspect.IntType() | inspect.FloatType():
            return
        case inspect.LiteralType(values=values):
            if not all(isinstance(value, str) for value in values):
                raise WrongField(f"{place}: a Literal may contain only strings")
        case inspect.Metadata():
            more = type.extra_json_schema or {}
            _check_pattern(more.get("pattern"), place)
            name = more.get("format")
            if name is not None and (name not in formats or not isinstance(type.type, inspect.StrType)):
                raise WrongField(
                    f"{place}: the format {name!r} is unknown; a string may have one of {', '.join(sorted(formats))}"
                )
            _check_type(type.type, place, formats, seen)
        case inspect.ListType(item_type=item):
            _check_type(item, f"{place}[]", formats, seen)
        case inspect.DictType(key_type=key, value_type=value):
            if key != inspect.StrType():
                raise WrongField(f"{place}: the keys of a dict must be plain str")
            _check_type(value, f"{place}[]", formats, seen)
        case inspect.StructType(cls=kind):
            _check_struct(type, place, formats, (*seen, kind))
        case _:
            raise WrongField(
                f"{place}: {_named(type)} is not supported; use str, bool, int, float, Literal of strings, list, "
                "dict[str, …] or a Struct, and UnsetType for a field that may be absent"
            )


def _check_pattern(pattern: str | None, place: str) -> None:
    rest = _ESCAPED.sub("", pattern or "")
    if "$" in rest:
        raise WrongField(f"{place}: in a pattern, $ also matches before a line break at the end; end it with {END}")
    if "\\" in rest:
        raise WrongField(f"{place}: JSON Schema has no \\A, \\Z or \\z; begin a pattern with ^ and end it with {END}")


def _check_struct(type: inspect.StructType, place: str, formats: Collection[str], seen: tuple[Any, ...]) -> None:
    if type.cls in seen[:-1]:
        raise WrongField(f"{place}: {type.cls.__name__} contains itself")
    if not type.forbid_unknown_fields or type.array_like or type.tag is not None:
        raise WrongField(
            f"{place}: {type.cls.__name__} must have forbid_unknown_fields, and neither array_like nor a tag"
        )
    for one in type.fields:
        inner = f"{place}.{one.name}"
        _check_type(one.type, inner, formats, seen)
        if not one.required and (absent(one) is not UNSET or one.default_factory is not NODEFAULT):
            raise WrongField(f"{inner}: the default of a nested field must be UNSET")


def _check_default(one: inspect.Field, place: str) -> None:
    if one.default_factory is not NODEFAULT:
        raise WrongField(f"{place}: a default must be a value, not a factory")
    if one.required or absent(one) is UNSET:
        return
    if not isinstance(one.default, str | bool | int | float):
        raise WrongField(f"{place}: a default must be a str, bool, int or float, or UNSET if the field may be absent")


def _named(type: inspect.Type) -> str:
    if isinstance(type, inspect.NoneType):
        return "None (null is an error for every field)"
    if isinstance(type, inspect.UnionType):
        return "a union of " + " and ".join(_named(one) for one in type.types)
    return type.__class__.__name__.removesuffix("Type").lower()


def _fields(kind: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    return described.fields


def parts(type: inspect.Type) -> Iterator[inspect.Type]:
    """A type and all types that it contains."""
    yield type
    match type:
        case inspect.Metadata():
            yield from parts(type.type)
        case inspect.ListType():
            yield from parts(type.item_type)
        case inspect.DictType():
            yield from parts(type.value_type)
        case inspect.StructType():
            for one in type.fields:
                yield from parts(one.type)


def fields_with(kind: type[msgspec.Struct], part: type[inspect.Type]) -> list[inspect.Field]:
    """The fields whose type contains ``part``."""
    return [one for one in _fields(kind) if any(isinstance(found, part) for found in parts(one.type))]


def absent(one: inspect.Field) -> Any:
    """The object that the decoder returns for a field that was not sent. NODEFAULT if the field is required."""
    return UNSET if not one.required and one.default is NODEFAULT else one.default


def format_tests(
    kind: type[msgspec.Struct], formats: Mapping[str, Test], *, but: Collection[tuple[str, ...]]
) -> list[tuple[str, Test]]:
    """A test of the value for each field that contains a format, with the field's name. ``but``: paths that are tested elsewhere."""
    tests = [(one.name, _format_test(one.type, formats, (one.name,), but)) for one in _fields(kind)]
    return [(name, test) for name, test in tests if test is not None]


def _format_test(
    type: inspect.Type, formats: Mapping[str, Test], place: tuple[str, ...], but: Collection[tuple[str, ...]]
) -> Test | None:
    if place in but:
        return None
    match type:
        case inspect.Metadata():
            name = (type.extra_json_schema or {}).get("format")
            return formats[name] if name is not None else _format_test(type.type, formats, place, but)
        case inspect.ListType():
            return _of_each(_format_test(type.item_type, formats, place, but), list.__iter__)
        case inspect.DictType():
            return _of_each(_format_test(type.value_type, formats, place, but), dict.values)
        case inspect.StructType():
            found = [(one.name, _format_test(one.type, formats, (*place, one.name), but)) for one in type.fields]
            return _of_fields([(name, test) for name, test in found if test is not None])
    return None


def _of_each(test: Test | None, entries: Callable[[Any], Any]) -> Test | None:
    return None if test is None else lambda value: all(map(test, entries(value)))


def _of_fields(tests: list[tuple[str, Test]]) -> Test | None:
    def holds(value: Any) -> bool:
        return all((found := getattr(value, name)) is UNSET or test(found) for name, test in tests)

    return holds if tests else None
