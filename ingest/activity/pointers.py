"""JSON pointers of errors as problem groups use them: parts that a client chose are replaced by ``*``."""

from typing import Any

from msgspec import inspect

from lake.envelope import Envelope

ANY = "*"
MAX_FIELD = 256
# Objects whose keys the client chooses.
_FREE = ("_vendor_ids",)


def _names(type: Any) -> set[str]:
    match type:
        case inspect.StructType():
            return {f.encode_name for f in type.fields}.union(*(_names(f.type) for f in type.fields))
        case inspect.ListType():
            return _names(type.item_type)
        case inspect.UnionType():
            return set().union(*(_names(one) for one in type.types))
        case inspect.Metadata():
            return _names(type.type)
    return set()


KNOWN = frozenset(_names(inspect.type_info(Envelope)))


def generalise(pointer: str) -> str:
    """``/_participants/0/email`` → ``/_participants/*/email``. Keys that a client chose become ``*``; long pointers are cut."""
    parts = pointer.split("/")[1:]
    if parts[:1] and parts[0] in _FREE:
        parts = [parts[0], *[ANY] * (len(parts) - 1)]
    general = [ANY if part.isascii() and part.isdigit() else part for part in parts]
    return storable("".join(f"/{part}" for part in general))[:MAX_FIELD]


def storable(text: str) -> str:
    """The text without what a text column cannot store: NUL becomes U+FFFD, a lone surrogate ``?``."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def without_client_names(field: str) -> str:
    """The field for readers who may not see payloads: a name that is not of the envelope becomes ``*``."""
    return "".join(f"/{part if part in KNOWN else ANY}" for part in field.split("/")[1:])


def is_part_of_known(word: str) -> bool:
    """Whether a name of the envelope contains this word. False for short words, which many names contain."""
    return len(word) >= 4 and any(word in name for name in KNOWN)


def in_words(field: str) -> str:
    """``/_participants/*/email`` for people: ``_participants[].email``."""
    return field.replace(f"/{ANY}", "[]").replace("/", ".").lstrip(".")
