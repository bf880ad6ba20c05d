"""Finds when a mail was written: its Date, or else the times that mail servers added."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_tz

from evermuse.client.convert import instants
from evermuse.client.convert.mail.headers import Header
from evermuse.client.convert.mail.words import plain

MAX_DATE = 200


def parsed(text: str) -> datetime | None:
    """The instant of a mail's date, or None. A missing or unknown zone counts as UTC."""
    text = plain(text)[:MAX_DATE].strip()
    if (instant := instants.from_iso(text)) is not None:
        return instant
    try:
        found = parsedate_tz(text)
        if found is None:
            return None
        year, month, day, hour, minute, second = found[:6]
        offset = timedelta(seconds=found[9] or 0)
        if abs(offset) > timedelta(hours=24):
            offset = timedelta()
        return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC) - offset
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def event_time(header: Header, envelope_date: datetime | None, envelope_source: str) -> tuple[datetime, str] | None:
    """The time and its source: Date, the first Received, the mbox or maildir, then a Date outside 1970 to 2100."""
    date = parsed(header.text("date"))
    candidates: list[tuple[str, Callable[[], datetime | None]]] = [
        ("Date", lambda: date),
        ("Received", lambda: next(_received(header), None)),
        ("Delivery-date", lambda: parsed(header.text("delivery-date"))),
        (envelope_source, lambda: envelope_date),
    ]
    for source, find in candidates:
        if (instant := find()) is not None and instants.is_plausible(instant):
            return instant, source
    return (date, "Date") if date is not None else None


def _received(header: Header) -> Iterator[datetime]:
    """The times of the servers. The first server comes first, because its time is closest to the writing."""
    for value in reversed(header.raw_all("received")):
        stamp = value.decode("ascii", "replace").rpartition(";")[2]
        if (instant := parsed(stamp)) is not None:
            yield instant
