"""Finds when a mail was written: its Date, or else the times that mail servers added."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_tz
from functools import partial

from evermuse.client.convert import instants
from evermuse.client.convert.mail.headers import Header
from evermuse.client.convert.mail.words import plain

MAX_DATE = 200
OPTION = "option"
# The names of zones that mean one offset, in hours. The library knows those of the United States. BST and IST are ambiguous.
_HOURS = {
    "WET": 0, "WEST": 1, "CET": 1, "MET": 1, "MEZ": 1, "CEST": 2, "MEST": 2, "MESZ": 2, "EET": 2, "EEST": 3, "SAST": 2,
    "MSK": 3, "MSD": 4, "HKT": 8, "SGT": 8, "JST": 9, "KST": 9, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13,
}  # fmt: skip
_ZONE = re.compile(r"\d \(?([A-Z]{3,4})\)?(?: \d{4})?(?: *\([^()]*\))?$")
# An offset in any of the forms that mailers and programs write: "+0100", "+01:00", "GMT+1", "UTC-0800".
_OFFSET = re.compile(r":\d{2} *(?:[AP]M)? *(?:GMT|UTC|UT|Z)? *([+-])(\d{1,2}):?(\d{2})?(?!\d)")
_FRACTION = re.compile(r"(?<=:\d{2})[.,]\d+")
_HALF_OF_DAY = re.compile(r"\d ?([AP])M\b", re.IGNORECASE)
# Fields with a date, for mails with neither Date nor Received.
_FIELDS = ("Delivery-date", "X-Received", "NNTP-Posting-Date", "Resent-Date")


def parsed(text: str) -> datetime | None:
    """The instant of a mail's date, or None. A missing or unknown zone counts as UTC."""
    text = plain(text)[:MAX_DATE].strip()
    if (instant := instants.from_iso(text)) is not None:
        return instant
    text = _FRACTION.sub("", text)
    try:
        found = parsedate_tz(text)
        if found is None:
            return None
        year, month, day, hour, minute, second = found[:6]
        year += 1900 if 100 <= year < 200 else 0  # a program of before 2000 counts from 1900
        offset = timedelta(seconds=found[9] or 0)
        if (given := _OFFSET.search(text)) is not None:
            offset = timedelta(hours=int(given[1] + given[2]), minutes=int(given[1] + (given[3] or "0")))
        elif not offset and (zone := _ZONE.search(text)) is not None:
            offset = timedelta(hours=_HOURS.get(zone[1], 0))
        if abs(offset) > timedelta(hours=24):
            offset = timedelta()
        if (half := _HALF_OF_DAY.search(text)) is not None and hour <= 12:
            hour = hour % 12 + (12 if half[1] in "pP" else 0)
        return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC) - offset
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def event_time(
    header: Header, envelope_date: datetime | None, envelope_source: str, given: datetime | None = None
) -> tuple[datetime, str] | None:
    """The time and its source: Date, the first Received, fields of servers, the mbox or maildir, a Date outside 1970 to 2100.

    ``given``: the time for mails without any.
    """
    date = parsed(header.text("date"))
    candidates: list[tuple[str, Callable[[], datetime | None]]] = [
        ("Date", lambda: date),
        ("Received", lambda: next(_received(header), None)),
        *((name, partial(_dated, header, name.lower())) for name in _FIELDS),
        (envelope_source, lambda: envelope_date),
    ]
    for source, find in candidates:
        if (instant := find()) is not None and instants.is_plausible(instant):
            return instant, source
    if date is not None:
        return date, "Date"
    return (given, OPTION) if given is not None else None


def _dated(header: Header, name: str) -> datetime | None:
    return parsed(header.text(name).rpartition(";")[2])


def _received(header: Header) -> Iterator[datetime]:
    """The times of the servers. The first server comes first, because its time is closest to the writing."""
    for value in reversed(header.raw_all("received")):
        stamp = value.decode("ascii", "replace").rpartition(";")[2]
        if (instant := parsed(stamp)) is not None:
            yield instant
