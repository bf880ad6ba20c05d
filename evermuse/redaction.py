"""Removes secrets from log lines, and values from error texts.

Secrets are queries of URLs, passwords in URLs, API keys, and rows in PostgreSQL's errors. Our own events contain only ids. Messages and tracebacks of libraries may contain anything, so every text is checked
before it is written. The patterns take linear time: each character class excludes what follows it.
"""

import re
from collections.abc import MutableMapping
from typing import Any

# Also after a path alone, as in urllib3's `Max retries exceeded with url: /file?signature=…`.
_QUERY = re.compile(r"\?[^\s\"'<>]+")
# User and password, or a password alone (`redis://:secret@host`).
_USERINFO = re.compile(r"(://[^\s/@:]{0,256}:)[^\s/@]{1,1024}(?=@)")
# PostgreSQL's errors continue with the row or the statement.
_ROWS = re.compile(r"^(\s{0,8}(?:DETAIL|CONTEXT|QUERY|LINE [0-9]{1,9}):)[^\n]*", re.MULTILINE)
_KEY = re.compile(r"em_sk_[A-Za-z0-9_-]+")
# Our own errors, and those of connections and of PostgreSQL's server. Their messages name servers, columns and limits.
_QUOTE_NO_RECORD = frozenset(
    {
        "ArchiveDamaged", "LeaseLost", "StoreUnavailable", "ConnectionAbortedError", "ConnectionError",
        "ConnectionRefusedError", "ConnectionResetError", "InterfaceError", "MemoryError", "NotSupportedError", "OSError",
        "OperationalError", "ProgrammingError", "TimeoutError",
    }
)  # fmt: skip
# Parts of an error text that may be a customer's: URLs, e-mail addresses, quoted text, JSON, long numbers. A quote without
# an end counts too, because stored errors are cut off.
_VALUE = re.compile(
    r"""\b[a-z][a-z0-9+.-]{0,15}://\S+ | \S+@\S+ | \b\d{6,} | [{\[].* | <[^>]*(?:>|$)
    | (?<!\w)'(?:[^'\\]|\\.)*(?:'|$) | "(?:[^"\\]|\\.)*(?:"|$) | `[^`]*(?:`|$) | “[^”]*(?:”|$)""",
    re.VERBOSE | re.IGNORECASE,
)


def redacted(text: str) -> str:
    """The text without secrets."""
    if "?" in text:
        text = _QUERY.sub("?…", text)
    if "://" in text:
        text = _USERINFO.sub(r"\1…", text)
    if "\n" in text:
        text = _ROWS.sub(r"\1 …", text)
    return _KEY.sub("em_sk_…", text) if "em_sk_" in text else text


def reason(error: str) -> str:
    """The class of a stored error, with the reason if its class is one whose messages quote no record.

    For logins that may not see payloads. Other classes may come from a processor and say anything, so only their name is
    shown. Values in a message are left out, and so is what follows a second colon, which usually introduces a value.
    """
    kind, colon, message = error.partition("\n")[0].partition(": ")
    if kind not in _QUOTE_NO_RECORD:
        return kind
    words, further, _ = _VALUE.sub("…", redacted(message)).partition(": ")
    return f"{kind}{colon}{words}{': …' if further else ''}"


def _without_secrets(value: object) -> object:
    if isinstance(value, str):
        return redacted(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_without_secrets(one) for one in value]
    if isinstance(value, dict):
        return {name: _without_secrets(one) for name, one in value.items()}
    return redacted(str(value) if isinstance(value, BaseException) else repr(value))


def redact(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor that removes secrets. It must come after the one that formats exceptions."""
    for name, value in event.items():
        event[name] = _without_secrets(value)
    return event
