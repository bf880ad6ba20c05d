"""E-mail addresses as they exist: of any script, with quoted names, without the limits that carriers never kept.

Source: the HTTP contract, "E-mail". Symbols in domains are taken too, since such domains were given out.
"""

import re

_BLANKS = "\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"
# Neither blanks, controls nor, among ASCII, what RFC 5322 keeps out of atoms. The dot is taken anywhere.
_LOCAL = rf'[^\x00-\x20"(),:;<>@\[\\\]\x7f-\x9f{_BLANKS}]'
# ASCII letters and digits, and beyond ASCII what is neither blank nor control.
_LABEL = rf"[^\x00-\x2f:-@\[-`{{-\x9f{_BLANKS}]"


def _pattern(more: str) -> str:
    """The whole pattern. ``more``: after a quantifier, so that it gives back nothing where the dialect can say so."""
    local = rf'(?!\.+{more}@){_LOCAL}+{more}|"(?:[^"\\]|\\[\s\S])*{more}"'
    # The underscore is no letter; names of hosts hold it all the same.
    label = rf"{_LABEL}+{more}(?:[-_]+{more}{_LABEL}+{more})*{more}"
    ipv4 = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
    literal = rf"\[(?:{ipv4}|(?:[0-9A-Fa-f]*{more}:)+{more}[0-9A-Fa-f.]*{more}|[A-Za-z0-9-]+{more}:[!-Z^-~]+{more})\]"
    return rf"(?:{local})@(?:{label}(?:\.{label})*{more}|{literal})"


_EMAIL = re.compile(_pattern("+"))
# In the dialect of JSON Schema, which has no possessive quantifiers.
EMAIL_PATTERN = rf"^(?:{_pattern('')})(?![\s\S])"


def is_email(text: str) -> bool:
    """Whether a text is an e-mail address; a domain without a dot is one too. Linear in its length."""
    return _EMAIL.fullmatch(text) is not None
