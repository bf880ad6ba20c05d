"""Terms: a record's properties as 64-bit numbers, so that filters need only one index.

Clients' strings may contain ``\\u0000`` and may be long. A term is 64 bits of BLAKE2 over workspace, name and value, so
a filter never matches records of another workspace.
"""

import re
from hashlib import blake2b
from urllib.parse import unquote

WIDTH = 8


# A vendor id is "key:value", and the first colon ends the key. Colons and percent signs in a key are escaped like this.
_ENCODED = str.maketrans({"%": "%25", ":": "%3A"})
_MALFORMED_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


def vendor_id(key: str, value: str) -> str:
    """An entry of `_vendor_ids` as one unambiguous text."""
    return f"{_escaped(key)}:{value}"


def vendor_id_of(text: str) -> str:
    """The text that `vendor_id` makes of the entry that a filter names.

    Percent-encoding in the key is decoded, as URL libraries write it. Raises ValueError with the broken rule.
    """
    key, colon, value = text.partition(":")
    if not colon:
        raise ValueError("must be key:value")
    if _MALFORMED_ESCAPE.search(key):
        raise ValueError("has a % in its key that does not begin an escape: write % as %25, and a colon as %3A")
    try:
        return vendor_id(unquote(key, errors="strict"), value)
    except UnicodeDecodeError:
        raise ValueError("has escapes in its key that are not UTF-8") from None


def _escaped(key: str) -> str:
    return key.translate(_ENCODED) if ":" in key or "%" in key else key


def term(workspace_id: int, name: str, value: str) -> int:
    """The signed 64-bit number of ``name=value`` in a workspace."""
    text = beginning(workspace_id, name) + value
    return number(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=WIDTH).digest())


def number(content: bytes) -> int:
    """The number that PostgreSQL reads from the eight bytes of a term."""
    return int.from_bytes(content, "big", signed=True)


def content_of(number: int) -> bytes:
    """The eight bytes of a number."""
    return number.to_bytes(WIDTH, "big", signed=True)


def short(set_id: int) -> int:
    """The number by which a record's row names a set of its workspace: the lowest 31 bits of the set's id."""
    return set_id & 0x7FFFFFFF


def beginning(workspace_id: int, name: str) -> str:
    """The text that is hashed before a term's value."""
    return f"{workspace_id}\x1f{name}\x1f"
