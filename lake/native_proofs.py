"""Native decoders prove that a part of a record breaks no rule, so the walk need not visit it."""

from collections.abc import Set
from functools import cache
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, inspect

from lake.envelope import DetectedEntity
from lake.key_counts import key_count, written_key_count

_REFUSALS = (msgspec.MsgspecError, RecursionError)
_decode_entities = msgspec.json.Decoder(list[DetectedEntity]).decode
_decode_entries = msgspec.json.Decoder(list[Raw]).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode


@cache
def _strings_decoder(
    min_length: int | None, max_length: int | None, pattern: str | None
) -> msgspec.json.Decoder[list[str]]:
    rules = Meta(min_length=min_length, max_length=max_length, pattern=pattern)
    return msgspec.json.Decoder(list[Annotated[str, rules]])


def entry_count(entries: bytes) -> int:
    """The number of entries in an array of small values."""
    return len(_decode_entries(entries.replace(b"\\ud", b"\\u0").replace(b"\\uD", b"\\u0")))


def may_have_members(object: bytes, names: frozenset[str]) -> bool:
    """False if an object has no member with one of the names."""
    try:
        return not names.isdisjoint(_decode_members(object))
    except _REFUSALS:  # a lone surrogate
        return True


def has_only_members(object: bytes, names: Set[str]) -> bool:
    """Whether an object has no other members than these. False proves nothing."""
    try:
        return _decode_members(object).keys() <= names
    except _REFUSALS:
        return False


def sound_entries(entries: bytes, type: inspect.Type) -> int | None:
    """The number of entries in an array without errors, or None if that is not proven.

    For arrays of unlimited length: strings, and detected entities.
    """
    try:
        if isinstance(type, inspect.StrType):
            return len(_strings_decoder(type.min_length, type.max_length, type.pattern).decode(entries))
        if isinstance(type, inspect.StructType) and type.cls is DetectedEntity:
            found = _decode_entities(entries)
            # With equally many keys, none is repeated.
            return len(found) if key_count(entries) == written_key_count(_encode(found)) else None
    except _REFUSALS:
        pass
    return None
