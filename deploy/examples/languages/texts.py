"""The text of a record: all strings among the values of its ``data``, with its language and number of words."""

import json
from collections.abc import Iterator
from typing import Any

# py3langid: 97 languages by one file of 4 MB, no network, 0.1 ms for a message.
import py3langid

# More text does not make the language clearer.
MAX_CHARACTERS = 4000


def text_of(data: bytes) -> str:
    """The strings, a line each. Data that is nested deeper than Python's reader follows has none."""
    try:
        return "\n".join(_strings(json.loads(data, parse_int=_no_text, parse_float=_no_text, parse_constant=_no_text)))
    except RecursionError:
        return ""


def language_of(text: str) -> str:
    """The language as an ISO 639-1 code; empty where the text has no letter."""
    beginning = text[:MAX_CHARACTERS]
    if not any(map(str.isalpha, beginning)):
        return ""
    # Half of a surrogate pair is not a character, and the library cannot encode it.
    return str(py3langid.classify(beginning.encode(errors="replace").decode())[0])


def _no_text(number: str) -> None:
    """Numbers are skipped unparsed, because Python refuses very long ones."""


def _strings(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text:
                yield text
            case dict() as members:
                waiting += reversed(members.values())
            case list() as entries:
                waiting += reversed(entries)
