"""The nodes that the walk over a record visits: trees of short values (`lake.json_tree`), and spans of long or deep
ones.

The members and entries of a span come as trees that native code builds for up to GROUP of them at once. Only a value
that is too long or too deep for a tree is a span again. So no value needs its own search in the text, and no step
blocks the interpreter for long or takes much memory, however large the record is.
"""

import re
from collections.abc import Callable, Iterator, Set
from functools import reduce
from itertools import chain, islice, takewhile
from typing import Any

from lake import json_text, json_tree, native_proofs
from lake.json_syntax import ANY_STRING, SCALAR, SPACE
from lake.json_text import JsonText

# Longer values are visited by spans.
SHORT_BYTES = 256 * 1024
GROUP = 1000

# A container of small values, and how deep it may be in a group.
_CONTAINER = rb"[\[{](?:[^\[\]{}\"]{1,256}+|%b|%b){0,32}+[\]}]"
_LEVELS = 64
_FLAT = _CONTAINER % (ANY_STRING, rb"(?!)")
_NESTED = reduce(lambda inner, _: _CONTAINER % (ANY_STRING, inner), range(_LEVELS - 1), _FLAT)
# Ends the match soon for many deep values.
_NESTED = rb"(?![\[{]{%d})%b" % (_LEVELS + 1, _NESTED)
_NEXT = rb"(?:%b,|(?=%b[\]}]))" % (SPACE, SPACE)


class _SmallValues:
    """Finds runs of up to GROUP small values. ``before``: what comes before each one."""

    def __init__(self, before: bytes) -> None:
        self.nested, self.flat = (
            re.compile(
                rb"(?:%b(?:%b|%b|%b)%b){1,%d}+" % (before, ANY_STRING, SCALAR, container, _NEXT, GROUP), re.DOTALL
            )
            for container in (_NESTED, _FLAT)
        )

    def matcher(self) -> Callable[[bytes, int], re.Match[bytes] | None]:
        """Matches a run at a position of a text. Positions must ascend.

        A tree of a long run of nested values could need much memory, so there only flat values form a run.
        """
        until = 0

        def match(raw: bytes, at: int) -> re.Match[bytes] | None:
            nonlocal until
            if at >= until:
                found = self.nested.match(raw, at)
                if found is None or found.end() - at <= SHORT_BYTES:
                    return found
                until = found.end()
            return self.flat.match(raw, at)

        return match


_MEMBERS = _SmallValues(rb"%b%b%b:%b" % (SPACE, ANY_STRING, SPACE, SPACE))
_ENTRIES = _SmallValues(SPACE)
_KEY = re.compile(rb"%b(%b)%b:%b" % (SPACE, ANY_STRING, SPACE, SPACE), re.DOTALL)
_ENTRY = re.compile(rb"%b(?=[^\]\s])" % SPACE)
_AFTER = re.compile(rb"%b,?" % SPACE)


class ValueSpan:
    """A value in a text that is JSON, from ``start`` to ``end`` (bytes)."""

    __slots__ = ("end", "start", "text")

    def __init__(self, text: JsonText, start: int, end: int) -> None:
        self.text, self.start, self.end = text, start, end

    @property
    def opening(self) -> bytes:
        """The first byte of the value."""
        return self.text.raw[self.start : self.start + 1]

    @property
    def slice(self) -> bytes:
        """The value's text."""
        return self.text.raw[self.start : self.end]

    def member_groups(self, but: Set[str] = frozenset()) -> Iterator[tuple[tuple[str, Any], ...]]:
        """An object's keys and values. Small ones come as trees of up to GROUP members.

        Groups that have only the keys ``but`` are left out. The caller may add keys meanwhile.
        """
        raw, at, match = self.text.raw, self.start + 1, _MEMBERS.matcher()
        while True:
            if found := match(raw, at):
                at = found.end()
                whole = b"{%b}" % found[0].rstrip(b", \t\r\n")
                if not but or not native_proofs.has_only_members(whole, but):
                    yield json_tree.tree(whole)
            elif found := _KEY.match(raw, at):
                if (name := json_text.decode_string(found[1])) in but:
                    at = self._behind(self.text.skip(found.end()))
                    continue
                node, at = self._value(found.end())
                yield ((name, node),)
            else:
                return

    def members_named(self, names: frozenset[str]) -> Iterator[tuple[str, Any]]:
        """An object's members with some names. Builds no trees of the others."""
        raw, at, match = self.text.raw, self.start + 1, _MEMBERS.matcher()
        quoted = [json_tree.text(name) for name in names]
        while True:
            if found := match(raw, at):
                at = found.end()
                group = found[0]
                if b"\\" in group or any(name in group for name in quoted):
                    whole = b"{%b}" % group.rstrip(b", \t\r\n")
                    # A name may also be in a value.
                    if native_proofs.may_have_members(whole, names):
                        yield from (member for member in json_tree.tree(whole) if member[0] in names)
            elif found := _KEY.match(raw, at):
                if (name := json_text.decode_string(found[1])) in names:
                    node, at = self._value(found.end())
                    yield name, node
                else:
                    at = self._behind(self.text.skip(found.end()))
            else:
                return

    def groups(self) -> Iterator[bytes | Any]:
        """An array's entries. Small ones come as bytes of an array of up to GROUP entries."""
        raw, at, match = self.text.raw, self.start + 1, _ENTRIES.matcher()
        while True:
            if found := match(raw, at):
                at = found.end()
                yield b"[%b]" % found[0].rstrip(b", \t\r\n")
            elif found := _ENTRY.match(raw, at):
                node, at = self._value(found.end())
                yield node
            else:
                return

    def count(self, limit: int) -> int:
        """The number of an array's entries, counted up to the limit. Builds no tree."""
        raw, at, counted = self.text.raw, self.start + 1, 0
        match = _ENTRIES.matcher()
        while counted < limit:
            if found := match(raw, at):
                at = found.end()
                counted += native_proofs.entry_count(b"[%b]" % found[0].rstrip(b", \t\r\n"))
            elif found := _ENTRY.match(raw, at):
                at = self._behind(self.text.skip(found.end()))
                counted += 1
            else:
                break
        return min(counted, limit)

    def _value(self, start: int) -> tuple[Any, int]:
        """The value at ``start``, and the position of what follows it."""
        end = self.text.skip(start)
        return node_of(self.text, start, end), self._behind(end)

    def _behind(self, end: int) -> int:
        """The position behind a value's comma, if it has one."""
        after = _AFTER.match(self.text.raw, end)
        assert after is not None
        return after.end()


def node_of(text: JsonText, start: int, end: int) -> Any:
    """A value's tree, or its span if it is too long or too deep."""
    is_container = text.raw[start] in b"[{"
    if is_container and (end - start > SHORT_BYTES or text.may_be_deep(start, end)):
        return ValueSpan(text, start, end)
    return json_tree.tree(text.raw[start:end])


def opening(node: Any) -> bytes:
    """The first byte of a value."""
    return node.opening if node.__class__ is ValueSpan else json_tree.opening(node)


def member_groups(node: Any, but: Set[str] = frozenset()) -> Iterator[tuple[tuple[str, Any], ...]]:
    """An object's members, in groups. ``but``: see `ValueSpan.member_groups`."""
    return node.member_groups(but) if node.__class__ is ValueSpan else iter((node,))


def members(node: Any) -> Iterator[tuple[str, Any]]:
    """An object's members."""
    return chain.from_iterable(member_groups(node))


def members_named(node: Any, names: frozenset[str]) -> Iterator[tuple[str, Any]]:
    """An object's members with some names."""
    if node.__class__ is ValueSpan:
        return node.members_named(names)
    return (member for member in node if member[0] in names)


def entries(node: Any) -> Iterator[Any]:
    """An array's entries."""
    if node.__class__ is not ValueSpan:
        yield from node
        return
    for group in node.groups():
        if isinstance(group, bytes):
            yield from json_tree.tree(group)
        else:
            yield group


def count(node: Any, limit: int) -> int:
    """The number of an array's entries, counted up to the limit."""
    return min(len(node), limit) if node.__class__ is not ValueSpan else node.count(limit)


def shortened(node: Any) -> Any:
    """The tree of an object with few members, even if some of them are spans."""
    if node.__class__ is not ValueSpan:
        return node
    few = tuple(islice(members(node), GROUP + 1))
    return few if len(few) <= GROUP else node


def last_member(text: JsonText, name: str) -> tuple[int, int] | None:
    """The beginning and end of the value of an object's last member with this name."""
    raw, at = text.raw, 1
    quoted, names = json_tree.text(name), frozenset({name})
    # Where groups begin and end that may contain it.
    groups: list[tuple[int, int]] = []
    while True:
        if group := _MEMBERS.nested.match(raw, at):
            end = group.end()
            may_be_there = (quoted in group[0] or b"\\" in group[0]) and native_proofs.may_have_members(
                b"{%b}" % group[0].rstrip(b", \t\r\n"), names
            )
        elif found := _KEY.match(raw, at):
            end = text.skip(found.end())
            may_be_there = json_text.decode_string(found[1]) == name
        else:
            break
        if may_be_there:
            groups.append((at, end))
        after = _AFTER.match(raw, end)
        assert after is not None
        at = after.end()
    for at, end in reversed(groups):
        within = takewhile(lambda member: member[2] <= end, text.members(at))  # noqa: B023
        places = [(start, ends) for key, start, ends in within if json_text.decode_string(key) == name]
        if places:
            return places[-1]
    return None
