"""E-mail addresses as they are used: in any script, with quoted names, and without length limits that no carrier
enforces.

Source: the HTTP contract, "E-mail". Symbols in domains are accepted, because such domains exist.
"""

import re

from lake.field_rules import END

_BLANKS = "\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"
# No blanks, no controls, and none of the ASCII characters that RFC 5322 excludes from atoms. Dots may be anywhere.
_LOCAL = rf'[^\x00-\x20"(),:;<>@\[\\\]\x7f-\x9f{_BLANKS}]'
# ASCII letters and digits, and all other characters that are neither blanks nor controls.
_LABEL = rf"[^\x00-\x2f:-@\[-`{{-\x9f{_BLANKS}]"


def _pattern(more: str) -> str:
    """The pattern. ``more``: appended to quantifiers, so that they do not backtrack in dialects that support it."""
    local = rf'(?!\.+{more}@){_LOCAL}+{more}|"(?:[^"\\]|\\[\s\S])*{more}"'
    # Host names contain underscores, although the standard does not allow them.
    label = rf"{_LABEL}+{more}(?:[-_]+{more}{_LABEL}+{more})*{more}"
    ipv4 = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
    literal = rf"\[(?:{ipv4}|(?:[0-9A-Fa-f]*{more}:)+{more}[0-9A-Fa-f.]*{more}|[A-Za-z0-9-]+{more}:[!-Z^-~]+{more})\]"
    return rf"(?:{local})@(?:{label}(?:\.{label})*{more}|{literal})"


_EMAIL = re.compile(_pattern("+"))
# JSON Schema's dialect has no possessive quantifiers.
EMAIL_PATTERN = rf"^(?:{_pattern('')}){END}"


def is_email(text: str) -> bool:
    """Whether a text is an e-mail address. The domain needs no dot. Takes linear time."""
    return "@" in text and _EMAIL.fullmatch(text) is not None
