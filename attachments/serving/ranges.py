"""Parses the ``Range`` header (RFC 9110, 14): one range, or the whole file."""

import re

# No file is large enough for a number with more digits.
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)


class Unsatisfiable(Exception):
    """The range begins after the end of the file."""


def wanted(header: str, size: int) -> tuple[int, int] | None:
    """The first and last byte of the requested range, or None for the whole file. Raises Unsatisfiable.

    A malformed header, or one with several ranges, is ignored, as the RFC permits.
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
