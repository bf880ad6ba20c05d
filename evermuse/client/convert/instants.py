"""Parses the instants of sources into the envelope's form."""

import re
from datetime import UTC, datetime, timedelta

# Clocks that were never set, and confused units, give instants outside this range.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_ISO = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?)?\s*"
    r"(Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?",
    re.IGNORECASE,
)


def spelled(instant: datetime) -> str:
    """The instant in UTC, truncated to the second."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20)


def is_plausible(instant: datetime) -> bool:
    """Whether the instant lies between 1970 and 2100."""
    return EARLIEST <= instant < LATEST


def from_epoch(seconds: float) -> datetime | None:
    """The instant of a Unix time in seconds, or None if it is out of range."""
    try:
        return EARLIEST + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        return None


def from_iso(text: str) -> datetime | None:
    """An ISO 8601 date or instant, UTC where it has no zone, or None. Tolerates blanks and one-digit parts."""
    found = _ISO.fullmatch(text.strip())
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    try:
        local = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
        return local - offset_of(found[7])
    except (ValueError, OverflowError):
        return None


def offset_of(zone: str | None) -> timedelta:
    """The offset from UTC of a zone such as +0100, +01:00, +01 or Z."""
    if not zone or zone[0] not in "+-":
        return timedelta()
    digits = zone[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -offset if zone[0] == "-" else offset
