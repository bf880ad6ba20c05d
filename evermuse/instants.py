"""Instants in answers."""

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
    """Unix epoch milliseconds, fractions of one cut off; None for None."""
    return None if instant is None else (instant - _EPOCH) // timedelta(milliseconds=1)


def microseconds(instant: datetime) -> int:
    """Unix epoch microseconds: all that PostgreSQL keeps of an instant."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def from_microseconds(value: int) -> datetime:
    """The instant of Unix epoch microseconds."""
    return _EPOCH + timedelta(microseconds=value)
