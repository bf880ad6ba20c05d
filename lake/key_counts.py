"""How many keys a JSON text holds, counted by native code: proof that a decoder, which keeps one of each, dropped none."""

import re

from lake.json_syntax import ANY_STRING

_STRINGS = re.compile(ANY_STRING, re.DOTALL)
_SPACE = b" \t\r\n"
# A quote before a colon may open a string, too: ``[":…"]``.
_DOUBTFUL = (b'{":', b'[":', b',":', b':":')


def key_count(text: bytes) -> int:
    """The keys of all objects of a text that is JSON, repeated ones included."""
    return _STRINGS.sub(b'"', text).translate(None, _SPACE).count(b'":')


def written_key_count(text: bytes) -> int:
    """The same for a text as encoders write it, without white space."""
    if b"\\" in text or any(mark in text for mark in _DOUBTFUL):
        return key_count(text)
    return text.count(b'":')
