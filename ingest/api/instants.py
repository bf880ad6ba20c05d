"""Instants in query parameters: ISO 8601 in UTC."""

import re
from datetime import UTC, datetime, timedelta

from ingest.refusals import invalid_body

_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.([0-9]{1,30}))?)?(?:Z|\+00:00))?")

_LAST = datetime.max.replace(tzinfo=UTC)


def parse(name: str, text: str) -> datetime:
    """The instant of a parameter: a date (midnight) or a date and time in UTC. Raises a 400 that names the parameter.

    A fraction of a microsecond is rounded up: times are stored in microseconds, so the same ones are at or after it.
    """
    try:
        match = _ISO.fullmatch(text)
        if not match:
            raise ValueError
        instant = datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise invalid_body(f"{name} must be an ISO-8601 instant in UTC, such as 2026-01-31T12:00:00Z.") from None
    if (match[1] or "")[6:].strip("0") and instant < _LAST:
        instant += timedelta(microseconds=1)
    return instant
