"""What filters look for: a record's properties as 64-bit numbers, so that one index serves all of them.

Strings of clients may hold ``\\u0000`` and be long; a number is neither. 64 bits of BLAKE2 over workspace, name and
value: a filter of one workspace never meets another's records.
"""

import re
from hashlib import blake2b
from urllib.parse import unquote

WIDTH = 8


# A vendor id is "key:value", of which the first colon ends the key. In a key colons and percent signs are written so.
_ENCODED = str.maketrans({"%": "%25", ":": "%3A"})
_MALFORMED_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


def vendor_id(key: str, value: str) -> str:
    """One entry of `_vendor_ids` as one text, from which both can be told."""
    return f"{_escaped(key)}:{value}"


def vendor_id_of(text: str) -> str:
    """What `vendor_id` makes of the entry that a filter means.

    Any percent-encoding of the key is understood, as URL libraries write it. Raises ValueError, with the rule that is
    broken, where a text is none.
    """
    key, colon, value = text.partition(":")
    if not colon:
        raise ValueError("must be key:value")
    if _MALFORMED_ESCAPE.search(key):
        raise ValueError("has a % in its key that begins no escape: % is written %25, and a colon %3A")
    try:
        return vendor_id(unquote(key, errors="strict"), value)
    except UnicodeDecodeError:
        raise ValueError("has escapes in its key that are no UTF-8") from None


def _escaped(key: str) -> str:
    return key.translate(_ENCODED) if ":" in key or "%" in key else key


def term(workspace_id: int, name: str, value: str) -> int:
    """The number of ``name=value`` in a workspace, signed, 64 bits."""
    text = beginning(workspace_id, name) + value
    return int.from_bytes(
        blake2b(text.encode("utf-8", "surrogatepass"), digest_size=WIDTH).digest(), "big", signed=True
    )


def beginning(workspace_id: int, name: str) -> str:
    """What comes before a value where its term is computed."""
    return f"{workspace_id}\x1f{name}\x1f"
