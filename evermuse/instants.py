"""Converts instants to and from Unix epoch time."""

from datetime import UTC, datetime, timedelta
from typing import overload

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@overload
def milliseconds(instant: datetime) -> int: ...
@overload
def milliseconds(instant: None) -> None: ...
@overload
def milliseconds(instant: datetime | None) -> int | None: ...
def milliseconds(instant: datetime | None) -> int | None:
    """Unix epoch milliseconds, rounded down. None for None."""
    return None if instant is None else (instant - _EPOCH) // timedelta(milliseconds=1)


def microseconds(instant: datetime) -> int:
    """Unix epoch microseconds, the precision of PostgreSQL's timestamps."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def from_microseconds(value: int) -> datetime:
    """The instant of Unix epoch microseconds."""
    return _EPOCH + timedelta(microseconds=value)
