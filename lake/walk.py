"""The walk over a record finds every broken rule, by the same types that the fast decoder checks.

It reports one error for each JSON pointer (the first rule broken there), and at most MAX_ERRORS. No pointer is built
for a sound value.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import inspect

from lake import error_texts, json_text, json_tree, native_proofs, walk_nodes
from lake.error_texts import place
from lake.field_errors import MAX_ERRORS, VALIDATION_ERROR, FieldError
from lake.json_text import MAX_DIGITS
from lake.scalar_rules import bounds_rule, length_rule, not_a
from lake.walk_nodes import ValueSpan, opening
from lake.walk_rules import Rule, StructRules, struct_rules

MAX_MESSAGE = 2048
# Longer arrays are not counted completely.
LONGEST_COUNT = 10_000

# Entries of an array that are tested at once.
PROVEN_TOGETHER = 32

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

    def fail(self, pointer: str, path: str, rule: str, shown: str | None = None) -> None:
        """Add an error, unless its pointer has one. ``shown``: the pointer as `error_texts.shown` gives it."""
        errors = self.errors
        if pointer in errors or len(errors) >= MAX_ERRORS:
            return
        message = f"{path}: {rule}" if path else rule
        errors[pointer] = FieldError(VALIDATION_ERROR, shown or error_texts.shown(pointer), message[:MAX_MESSAGE])

    def struct(self, node: Any, kind: type[msgspec.Struct], pointer: str = "", path: str = "") -> None:
        """Check an object with named fields. Returns once there are MAX_ERRORS."""
        self._members(node, struct_rules(kind), pointer, path)

    def _members(self, node: Any, struct: StructRules, pointer: str, path: str) -> None:
        fields, errors = struct.fields, self.errors
        present: Collection[str]
        groups: Iterable[Iterable[tuple[str, Any]]]
        if node.__class__ is tuple and len(found := dict(node)) == len(node):
            present, groups = found, (node,)
        else:
            present = seen = set[str]()
            groups = self._once(node, pointer, path, seen)
        for group in groups:
            for key, member in group:
                if (rule := fields.get(key)) is None:
                    self._unknown(key, pointer, path, struct)
                elif (broken := rule.test(member)) is None:
                    continue
                elif broken:
                    self.fail(f"{pointer}/{key}", f"{path}.{key}" if path else key, broken)
                else:
                    self.value(member, rule, f"{pointer}/{key}", f"{path}.{key}" if path else key)
                if len(errors) >= MAX_ERRORS:
                    return
        for key in struct.required:
            if key not in present:
                self.fail(f"{pointer}/{key}", f"{path}.{key}" if path else key, "is required")
        if struct.is_envelope and "_project_ids" not in present and "_project_id" not in present:
            self.fail("/_project_ids", "_project_ids", "one of _project_ids and _project_id is required")

    def _unknown(self, key: str, pointer: str, path: str, struct: StructRules) -> None:
        full = f"{pointer}/{error_texts.escaped(key)}"
        if len(key) <= error_texts.SHOWN and key.isascii():
            self.fail(full, f"{path}.{key}" if path else key, struct.unknown)
            return
        name = error_texts.clean(key)
        rule = "the name holds a lone surrogate" if json_text.has_lone_surrogate(key) else struct.unknown
        self.fail(full, f"{path}.{name}" if path else name, rule, error_texts.shown_member(name, pointer))

    def _once(
        self, node: Any, pointer: str, path: str, seen: set[str], is_sound: GroupTest | None = None
    ) -> Iterator[Iterable[tuple[str, Any]]]:
        """An object's members in groups, without repeated and unencodable keys, which are errors.

        ``seen``: collects the keys. ``is_sound``: whether members with new keys need no check.
        """
        # Members with a key that was reported change nothing.
        reported: set[str] = set()
        for group in walk_nodes.member_groups(node, but=reported):
            found = dict(group)
            if len(found) == len(group) and seen.isdisjoint(found) and not json_text.has_lone_surrogate("".join(found)):
                seen.update(found)
                if is_sound is None or not is_sound(found):
                    yield group
            else:
                yield self._doubtful_members(group, pointer, path, seen, reported)

    def _doubtful_members(
        self, group: tuple[tuple[str, Any], ...], pointer: str, path: str, seen: set[str], reported: set[str]
    ) -> Iterator[tuple[str, Any]]:
        """The members of a group that `_once` gives. ``reported``: collects the keys that are errors."""
        for key, member in group:
            if key in reported:
                continue
            if key in seen:
                reported.add(key)
                self.fail(*place(key, pointer, path), "is given more than once")
            elif not key.isascii() and json_text.has_lone_surrogate(key):
                reported.add(key)
                self.fail(*place(key, pointer, path), "the name holds a lone surrogate")
            else:
                seen.add(key)
                yield key, member
            if len(self.errors) >= MAX_ERRORS:
                return

    def value(self, node: Any, rule: Rule, pointer: str, path: str) -> None:
        """Check a value that has to be visited."""
        _CHECKS[rule.type.__class__](self, node, rule, pointer, path)

    def _is(self, wanted: bytes, what: str, node: Any, pointer: str, path: str) -> bool:
        found = opening(node)
        if found == wanted:
            return True
        self.fail(pointer, path, not_a(what, found))
        return False

    def _object(self, node: Any, rule: Rule, pointer: str, path: str) -> None:
        assert isinstance(rule.type, inspect.StructType)
        if self._is(b"{", "an object", node, pointer, path):
            self.struct(node, rule.type.cls, pointer, path)

    def _mapping(self, node: Any, rule: Rule, pointer: str, path: str) -> None:
        """Check an object with any keys and with values of one type."""
        assert isinstance(rule.type, inspect.DictType) and rule.inner is not None
        if not self._is(b"{", "an object", node, pointer, path):
            return
        test = rule.inner.test
        are_sound = _are_sound_strings if rule.inner.type == inspect.StrType() else None
        seen: set[str] = set()
        errors = self.errors
        for group in self._once(node, pointer, path, seen, are_sound):
            for key, member in group:
                if (broken := test(member)) is None:
                    continue
                if broken:
                    self.fail(*place(key, pointer, path), broken)
                else:
                    self.value(member, rule.inner, *place(key, pointer, path))
                if len(errors) >= MAX_ERRORS:
                    return
        # Members whose names are wrong count as well.
        few = len(seen) < (rule.type.min_length or 0)
        length = sum(1 for _ in walk_nodes.members(node)) if few else len(seen)
        if broken := length_rule(length, "entry", rule.type):
            self.fail(pointer, path, broken)

    def _array(self, node: Any, rule: Rule, pointer: str, path: str) -> None:
        assert isinstance(rule.type, inspect.ListType) and rule.inner is not None
        if not self._is(b"[", "an array", node, pointer, path):
            return
        low, high = rule.type.min_length, rule.type.max_length
        if low is not None or high is not None:
            limit = max(LONGEST_COUNT, 1 + (low or 0), 1 + (high or 0))
            counted = walk_nodes.count(node, limit)
            if broken := length_rule(counted, "entry", rule.type, is_cut=counted == limit):
                self.fail(pointer, path, broken)
                if counted:
                    return
        inner, test, errors = rule.inner, rule.inner.test, self.errors
        if isinstance(inner.type, inspect.StructType):
            self._objects(node, inner, pointer, path)
            return
        for index, entry in _doubtful(node, inner.type):
            broken = test(entry)
            if broken is None:
                continue
            if broken:
                self.fail(f"{pointer}/{index}", f"{path}[{index}]", broken)
            else:
                self.value(entry, inner, f"{pointer}/{index}", f"{path}[{index}]")
            if len(errors) >= MAX_ERRORS:
                return

    def _objects(self, node: Any, inner: Rule, pointer: str, path: str) -> None:
        """Check the entries of an array of objects. ``inner``: their rule."""
        assert isinstance(inner.type, inspect.StructType)
        struct, errors = struct_rules(inner.type.cls), self.errors
        for first, entries in _doubtful_groups(node, inner.type, struct):
            for index, entry in enumerate(entries, first):
                if entry.__class__ is tuple:
                    self._members(entry, struct, f"{pointer}/{index}", f"{path}[{index}]")
                else:
                    self.value(entry, inner, f"{pointer}/{index}", f"{path}[{index}]")
                if len(errors) >= MAX_ERRORS:
                    return

    def _integer(self, node: Any, rule: Rule, pointer: str, path: str) -> None:
        """Check an integer and its bounds. It may have a fraction of zeros or an exponent."""
        assert isinstance(rule.type, inspect.IntType)
        if (found := opening(node)) not in b"-0123456789":
            self.fail(pointer, path, not_a(error_texts.number_name(rule.type), found))
        elif (value := self._whole(node, pointer, path)) is not None and (broken := bounds_rule(value, rule.type)):
            self.fail(pointer, path, broken)

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


_CHECKS: dict[type, Callable[[Walk, Any, Rule, str, str], None]] = {
    inspect.StructType: Walk._object,
    inspect.DictType: Walk._mapping,
    inspect.ListType: Walk._array,
    inspect.IntType: Walk._integer,
}


def _are_sound_strings(members: dict[str, Any]) -> bool:
    """Whether the values are sound strings. Runs in native code."""
    return set(map(type, members.values())) == {str} and not json_text.has_lone_surrogate("".join(members.values()))


def _doubtful(node: Any, type: inspect.Type) -> Iterator[tuple[int, Any]]:
    """The entries of an array that decoders do not prove to be sound, with their indexes."""
    for first, entries in _unproven(node, type):
        yield from enumerate(entries, first)


def _unproven(node: Any, type: inspect.Type) -> Iterator[tuple[int, list[Any]]]:
    """Like `_doubtful`, but in groups of adjacent entries, each with the index of its first one."""
    if not isinstance(node, ValueSpan):
        yield 0, node
        return
    index = 0
    for group in node.groups():
        if not isinstance(group, bytes):
            yield index, [group]
            index += 1
        elif (proven := native_proofs.sound_entries(group, type)) is not None:
            index += proven
        else:
            entries = json_tree.tree(group)
            yield index, entries
            index += len(entries)


def _doubtful_groups(node: Any, type: inspect.Type, struct: StructRules) -> Iterator[tuple[int, list[Any]]]:
    """Like `_unproven`, for objects, without groups that are sound.

    An object after one with errors probably has errors too. So the more groups had errors, the more come untested.
    """
    untested, failed = 0, 0
    for start, entries in _unproven(node, type):
        for at in range(0, len(entries), PROVEN_TOGETHER):
            few = entries[at : at + PROVEN_TOGETHER]
            if untested:
                untested -= 1
            elif struct.all_hold(few):
                failed = 0
                continue
            else:
                failed += 1
                untested = 2 * failed
            yield start + at, few
