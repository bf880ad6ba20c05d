"""The walk over a record finds every broken rule, by the same types that the fast decoder checks.

It reports one error for each JSON pointer (the first rule broken there), and at most MAX_ERRORS. No pointer is built
for a value that its rule's test proves to be sound.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import inspect

from lake import error_texts, json_text, json_tree, native_proofs, walk_nodes
from lake.error_texts import place
from lake.field_errors import MAX_ERRORS, VALIDATION_ERROR, FieldError
from lake.formats import FORMATS
from lake.json_text import MAX_DIGITS
from lake.walk_nodes import ValueSpan, opening
from lake.walk_rules import Rule, StructRules, format_of, struct_rules

MAX_MESSAGE = 2048
# Longer arrays are not counted completely.
LONGEST_COUNT = 10_000

# Checks members of an object all at once.
GroupTest = Callable[[dict[str, Any]], bool]

_PLAIN_INTEGER = re.compile(r"-?[0-9]+")


@dataclass(slots=True)
class Walk:
    """One pass over an object.

    ``errors``: by complete pointer; long names are cut when it is shown. ``has_odd_integers``: whether an integer is
    not written as decoders accept it, such as ``5.0``.
    """

    errors: dict[str, FieldError] = field(default_factory=dict)
    has_odd_integers: bool = False

    def fail(self, pointer: str, path: str, rule: str) -> None:
        """Add an error, unless its pointer has one."""
        errors = self.errors
        if pointer not in errors and len(errors) < MAX_ERRORS:
            message = f"{path}: {rule}" if path else rule
            is_short = len(pointer) <= error_texts.SHOWN and pointer.isascii()
            errors[pointer] = FieldError(
                VALIDATION_ERROR, pointer if is_short else error_texts.shown(pointer), message[:MAX_MESSAGE]
            )

    def struct(self, node: Any, kind: type[msgspec.Struct], pointer: str = "", path: str = "") -> None:
        """Check an object with named fields. Returns once there are MAX_ERRORS."""
        struct = struct_rules(kind)
        fields, errors = struct.fields, self.errors
        present: set[str] = set()
        if node.__class__ is tuple and len(found := dict(node)) == len(node) and fields.keys() >= found.keys():
            present.update(found)
            groups: Iterable[Iterable[tuple[str, Any]]] = (node,)
        else:
            groups = self._once(node, pointer, path, present)
        for group in groups:
            for key, member in group:
                rule = fields.get(key)
                if rule is None:
                    self._unknown(key, pointer, path, struct)
                elif not rule.is_sound(member):
                    self.value(member, rule, f"{pointer}/{key}", f"{path}.{key}" if path else key)
                if len(errors) >= MAX_ERRORS:
                    return
        if not present.issuperset(struct.required):
            for key in struct.required:
                if key not in present:
                    self.fail(f"{pointer}/{key}", f"{path}.{key}" if path else key, "is required")
        if struct.is_envelope and not present & {"_project_ids", "_project_id"}:
            self.fail("/_project_ids", "_project_ids", "one of _project_ids and _project_id is required")

    def _unknown(self, key: str, pointer: str, path: str, struct: StructRules) -> None:
        self.fail(*place(key, pointer, path), f"is no field {'of the envelope' if struct.is_envelope else 'here'}")

    def _once(
        self, node: Any, pointer: str, path: str, seen: set[str], is_sound: GroupTest | None = None
    ) -> Iterator[Iterable[tuple[str, Any]]]:
        """An object's members in groups, without repeated and unencodable keys, which are errors.

        ``seen``: collects the keys. ``is_sound``: whether members with new keys need no check.
        """
        repeated: set[str] = set()
        for group in walk_nodes.member_groups(node):
            found = dict(group)
            if len(found) == len(group) and seen.isdisjoint(found) and "".join(found).isascii():
                seen.update(found)
                if is_sound is None or not is_sound(found):
                    yield group
            else:
                yield self._doubtful_members(group, pointer, path, seen, repeated)

    def _doubtful_members(
        self, group: tuple[tuple[str, Any], ...], pointer: str, path: str, seen: set[str], repeated: set[str]
    ) -> Iterator[tuple[str, Any]]:
        """The members of a group that `_once` gives. ``repeated``: collects the repeated keys."""
        for key, member in group:
            if key in seen:
                if key not in repeated:
                    repeated.add(key)
                    self.fail(*place(key, pointer, path), "is given more than once")
            elif not key.isascii() and json_text.has_lone_surrogate(key):
                self.fail(*place(key, pointer, path), "the name holds a lone surrogate")
            else:
                seen.add(key)
                yield key, member
            if len(self.errors) >= MAX_ERRORS:
                return

    def value(self, node: Any, rule: Rule, pointer: str, path: str) -> None:
        """Check a value that its rule's test has not proven to be sound."""
        _CHECKS[rule.type.__class__](self, node, rule, pointer, path)

    def _is(self, wanted: bytes, what: str, node: Any, pointer: str, path: str) -> bool:
        found = opening(node)
        if found == wanted:
            return True
        self.fail(pointer, path, f"must be {what}, not {error_texts.kind(found)}")
        return False

    def _object(self, node: Any, rule: Rule, pointer: str, path: str) -> None:
        assert isinstance(rule.type, inspect.StructType)
        if self._is(b"{", "an object", node, pointer, path):
            self.struct(node, rule.type.cls, pointer, path)

    def _raw(self, node: Any, rule: Rule, pointer: str, path: str) -> None:
        self._is(b"{", "an object", node, pointer, path)

    def _boolean(self, node: Any, rule: Rule, pointer: str, path: str) -> None:
        if (found := opening(node)) not in (b"t", b"f"):
            self.fail(pointer, path, f"must be true or false, not {error_texts.kind(found)}")

    def _mapping(self, node: Any, rule: Rule, pointer: str, path: str) -> None:
        """Check an object with any keys and with values of one type."""
        assert isinstance(rule.type, inspect.DictType) and rule.inner is not None
        if not self._is(b"{", "an object", node, pointer, path):
            return
        is_sound = rule.inner.is_sound
        are_sound = _are_sound_strings if rule.inner.type == inspect.StrType() else None
        seen: set[str] = set()
        errors = self.errors
        for group in self._once(node, pointer, path, seen, are_sound):
            for key, member in group:
                if not is_sound(member):
                    self.value(member, rule.inner, *place(key, pointer, path))
                    if len(errors) >= MAX_ERRORS:
                        return
        # Members whose names are wrong count as well.
        few = len(seen) < (rule.type.min_length or 0)
        length = sum(1 for _ in walk_nodes.members(node)) if few else len(seen)
        self._length(length, "entry", rule.type, pointer, path)

    def _array(self, node: Any, rule: Rule, pointer: str, path: str) -> None:
        assert isinstance(rule.type, inspect.ListType) and rule.inner is not None
        if not self._is(b"[", "an array", node, pointer, path):
            return
        low, high = rule.type.min_length, rule.type.max_length
        if low is not None or high is not None:
            limit = max(LONGEST_COUNT, 1 + (low or 0), 1 + (high or 0))
            counted = walk_nodes.count(node, limit)
            if not self._length(counted, "entry", rule.type, pointer, path, is_cut=counted == limit) and counted:
                return
        is_sound, errors = rule.inner.is_sound, self.errors
        is_object = isinstance(rule.inner.type, inspect.StructType)
        has_failed = False
        for index, entry in _doubtful(node, rule.inner.type):
            # An object after one with errors is checked at once, because it probably has errors too.
            if (has_failed and is_object) or not is_sound(entry):
                before = len(errors)
                self.value(entry, rule.inner, f"{pointer}/{index}", f"{path}[{index}]")
                has_failed = len(errors) > before
                if len(errors) >= MAX_ERRORS:
                    return

    def _length(
        self,
        length: int,
        unit: str,
        type: inspect.ListType | inspect.DictType | inspect.StrType,
        pointer: str,
        path: str,
        *,
        is_cut: bool = False,
    ) -> bool:
        """Whether a length is within its bounds. ``is_cut``: nothing was counted beyond it."""
        low, high = type.min_length, type.max_length
        units = {"entry": "entries"}.get(unit, f"{unit}s")
        if low is not None and length < low:
            self.fail(pointer, path, f"must have at least {low:,} {unit if low == 1 else units}")
            return False
        if high is not None and length > high:
            shown = f"{length:,}" + (" or more" if is_cut else "")
            self.fail(pointer, path, f"must have at most {high:,} {unit if high == 1 else units}, not {shown}")
            return False
        return True

    def _string(self, node: Any, rule: Rule, pointer: str, path: str) -> None:
        """Check a string: encodable, in its list of values, within its length."""
        if not self._is(b'"', "a string", node, pointer, path):
            return
        type = rule.type
        if json_text.has_lone_surrogate(node):
            self.fail(pointer, path, "holds a lone surrogate (half of a UTF-16 pair)")
        elif isinstance(type, inspect.LiteralType):
            if node not in type.values:
                self.fail(pointer, path, f"must be {error_texts.one_of(tuple(type.values))}")
        elif isinstance(type, inspect.StrType):
            is_long_enough = self._length(len(node), "character", type, pointer, path)
            if is_long_enough and type.pattern is not None and re.search(type.pattern, node) is None:
                self.fail(pointer, path, f"must match the pattern {type.pattern}")

    def _format(self, node: Any, rule: Rule, pointer: str, path: str) -> None:
        """Check a string's format, which the types cannot state."""
        assert isinstance(rule.type, inspect.Metadata) and rule.inner is not None
        holds, wrong = FORMATS[str(format_of(rule.type))]
        # A sound string of a rule that does not hold has the wrong format.
        if not rule.inner.is_sound(node):
            self._string(node, rule.inner, pointer, path)
            if pointer in self.errors or node.__class__ is not str or holds(node):
                return
        self.fail(pointer, path, wrong)

    def _number(self, node: Any, rule: Rule, pointer: str, path: str) -> None:
        """Check a number and its bounds. An integer may have a fraction of zeros or an exponent."""
        type = rule.type
        assert isinstance(type, inspect.IntType | inspect.FloatType)
        if (found := opening(node)) not in b"-0123456789":
            self.fail(pointer, path, f"must be {error_texts.number_name(type)}, not {error_texts.kind(found)}")
            return
        value = self._whole(node, pointer, path) if isinstance(type, inspect.IntType) else float(node)
        if value is None:
            return
        if type.ge is not None and value < type.ge:
            self.fail(pointer, path, f"must be at least {type.ge:g}")
        elif type.gt is not None and value <= type.gt:
            self.fail(pointer, path, f"must be greater than {type.gt:g}")
        elif type.le is not None and value > type.le:
            self.fail(pointer, path, f"must be at most {type.le:g}")
        elif type.lt is not None and value >= type.lt:
            self.fail(pointer, path, f"must be less than {type.lt:g}")
        elif isinstance(value, float) and not math.isfinite(value):
            self.fail(pointer, path, "is out of the range of numbers")
        elif type.multiple_of is not None and not _is_multiple(value, type.multiple_of):
            self.fail(pointer, path, f"must be a multiple of {type.multiple_of:g}")

    def _whole(self, node: str, pointer: str, path: str) -> int | None:
        """An integer's value, or None and an error."""
        try:
            digits = json_text.integer(node.encode(), MAX_DIGITS)
        except OverflowError:
            self.fail(pointer, path, f"must have at most {MAX_DIGITS:,} digits")
            return None
        if digits is None:
            self.fail(pointer, path, "must be an integer")
            return None
        if not _PLAIN_INTEGER.fullmatch(node):
            self.has_odd_integers = True
        return int(digits)


def _is_multiple(value: float, of: float) -> bool:
    """As the decoder sees it."""
    return value % of == 0 if isinstance(value, int) and isinstance(of, int) else math.fmod(value, of) == 0


_CHECKS: dict[type, Callable[[Walk, Any, Rule, str, str], None]] = {
    inspect.StrType: Walk._string,
    inspect.LiteralType: Walk._string,
    inspect.Metadata: Walk._format,
    inspect.StructType: Walk._object,
    inspect.DictType: Walk._mapping,
    inspect.ListType: Walk._array,
    inspect.RawType: Walk._raw,
    inspect.BoolType: Walk._boolean,
    inspect.IntType: Walk._number,
    inspect.FloatType: Walk._number,
}


def _are_sound_strings(members: dict[str, Any]) -> bool:
    """Whether the values are sound strings. Runs in native code."""
    return set(map(type, members.values())) == {str} and "".join(members.values()).isascii()


def _doubtful(node: Any, type: inspect.Type) -> Iterator[tuple[int, Any]]:
    """The entries of an array that decoders do not prove to be sound, with their indexes."""
    if not isinstance(node, ValueSpan):
        yield from enumerate(node)
        return
    index = 0
    for group in node.groups():
        if not isinstance(group, bytes):
            yield index, group
            index += 1
        elif (proven := native_proofs.sound_entries(group, type)) is not None:
            index += proven
        else:
            entries = json_tree.tree(group)
            yield from enumerate(entries, index)
            index += len(entries)
