"""Counts the keys in a JSON text by native code. A decoder keeps one of several equal keys; an equal count proves that it
dropped none.
"""

import re

from lake.json_syntax import ANY_STRING

_STRINGS = re.compile(ANY_STRING, re.DOTALL)
_SPACE = b" \t\r\n"
# A quote before a colon may also open a string: ``[":…"]``.
_DOUBTFUL = (b'{":', b'[":', b',":', b':":')


def key_count(text: bytes) -> int:
    """The number of keys of all objects in a text that is JSON, including repeated keys."""
    bare = text.translate(None, _SPACE)
    if (found := _plain_count(bare)) is not None:
        return found
    return _STRINGS.sub(b'"', text).translate(None, _SPACE).count(b'":')


def written_key_count(text: bytes) -> int:
    """Like `key_count`, for a text without white space, as encoders write it."""
    found = _plain_count(text)
    return key_count(text) if found is None else found


def _plain_count(bare: bytes) -> int | None:
    """The number of keys in a text whose white space was removed, also from strings. None if strings make it uncertain."""
    if b"\\" in bare or any(mark in bare for mark in _DOUBTFUL):
        return None
    return bare.count(b'":')
