"""Instants in query parameters: ISO 8601 in UTC."""

import re
from datetime import UTC, datetime

from ingest.refusals import invalid_body

_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|\+00:00))?")


def parse(name: str, text: str) -> datetime:
    """The instant of a parameter: a date (midnight) or a date and time in UTC. Raises a 400 that names the parameter."""
    try:
        if not _ISO.fullmatch(text):
            raise ValueError
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise invalid_body(f"{name} must be an ISO-8601 instant in UTC, such as 2026-01-31T12:00:00Z.") from None
    return instant.replace(tzinfo=UTC)
