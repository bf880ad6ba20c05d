"""Formats of strings in the envelope: the rules that its types cannot state.

A field names its format in ``extra_json_schema``; FORMATS has the format's test and its rule in words.
"""

import re
from collections.abc import Callable
from datetime import date
from functools import lru_cache

from lake.email_addresses import is_email

RECORD_TYPES = frozenset(
    {
        "email_thread",
        "email",
        "meeting_notes",
        "call",
        "call_transcription",
        "conversation",
        "message",
        "document",
        "spreadsheet",
    }
)

FORM_OF_EVENT_AT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,3})?Z"
_EVENT_AT = re.compile(FORM_OF_EVENT_AT)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*+:(?:[^\s\x00-\x20\x7f<>\"{}|\\^`%]|%[0-9A-Fa-f]{2})++")


def is_record_type(text: str) -> bool:
    """Whether a text names a record type, in any case."""
    return text.lower() in RECORD_TYPES


def is_instant(text: str) -> bool:
    """Whether a text has the form of ``_event_at`` and is a real instant."""
    return _EVENT_AT.fullmatch(text) is not None and is_date(text[:10])


@lru_cache(4096)
def is_date(text: str) -> bool:
    """Whether a text such as 2026-02-29 is a date of the calendar."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_uri(text: str) -> bool:
    """Whether a text is an absolute URI (RFC 3986). Letters beyond ASCII are accepted."""
    return _URI.fullmatch(text) is not None


# By the format's name: the test, and the rule in words.
FORMATS: dict[str, tuple[Callable[[str], bool], str]] = {
    "record-type": (is_record_type, f"must be one of {', '.join(sorted(RECORD_TYPES))}"),
    "instant": (is_instant, "must be a real instant in UTC such as 2026-01-31T12:00:00Z, with at most 3 decimals"),
    "email": (is_email, "must be an e-mail address"),
    "uri": (is_uri, "must be an absolute URI"),
}
