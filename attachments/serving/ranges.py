"""Which bytes of a file a request wants (RFC 9110, 14): one range, or all of it."""

import re

# A number with more digits is beyond any file.
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)


class Unsatisfiable(Exception):
    """The range begins after the end of the file."""


def wanted(header: str, size: int) -> tuple[int, int] | None:
    """The first and the last byte that a ``Range`` header names; None for the whole file.

    A header that is malformed, or names several ranges, counts as none, which the RFC allows. Raises Unsatisfiable.
    """
    found = _RANGE.fullmatch(header.strip())
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        if not int(last) or not size:
            raise Unsatisfiable
        return max(0, size - int(last)), size - 1
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise Unsatisfiable
    return int(first), min(int(last), size - 1) if last else size - 1
