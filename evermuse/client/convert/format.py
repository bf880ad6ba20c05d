"""The interface of a converter: its options, its result and its errors."""

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from evermuse.client.convert import instants
from evermuse.client.convert.rejects import RejectWriter


class UsageError(Exception):
    """The command line is wrong, for example a path does not exist or a mapping has an error."""


class PoolError(Exception):
    """The processes that convert cannot be started, so no item can be converted."""


class NotConvertible(Exception):
    """An item of the source cannot be converted. The text is the reason."""


def reason_of(error: Exception) -> str:
    """The reason for rejecting an item. An error other than NotConvertible is a bug, which must not stop the run."""
    return str(error) if isinstance(error, NotConvertible | OSError) else f"{type(error).__name__}: {error}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertOptions:
    """The settings of a run. They are the same for every item.

    ``attachments``: the directory to write the source's files to; without it they are only described. ``event_at``: an
    instant for sources without times. ``mapping``: a file, see `csv_mapping`. ``item_seconds``: the longest time for
    one mail.
    """

    product_id: str
    project_ids: tuple[str, ...]
    internal_domains: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    attachments: Path | None = None
    event_at: str | None = None
    mapping: Path | None = None
    processes: int | None = None
    item_seconds: float = 60.0

    @property
    def instant(self) -> datetime | None:
        """``event_at`` in UTC. Raises UsageError."""
        found = instants.from_iso(self.event_at) if self.event_at else None
        if self.event_at and found is None:
            raise UsageError(f"--event-at: {self.event_at} is not an instant such as 2026-01-31T12:00:00Z")
        return found


class Format(Protocol):
    """A source format."""

    def convert(self, paths: Sequence[Path], *, options: ConvertOptions, rejects: RejectWriter) -> Iterator[bytes]:
        """Yield the records as lines of JSON, without line breaks. Raises UsageError."""
        ...


@dataclass(frozen=True, slots=True)
class LazyFormat:
    """A format whose module is imported when it is used. ``summary``: one line for the help."""

    summary: str
    module: str
    name: str

    def convert(self, paths: Sequence[Path], *, options: ConvertOptions, rejects: RejectWriter) -> Iterator[bytes]:
        """See `Format`."""
        format: Format = getattr(importlib.import_module(self.module), self.name)
        return format.convert(paths, options=options, rejects=rejects)
