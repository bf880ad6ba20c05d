"""Reads the mapping of a CSV file's columns to the fields of a record, from a TOML or JSON file.

A text names a column; ``{"value": …}`` is a constant. ``vendor_ids`` is needed, and ``event_at`` unless ``--event-at`` is given:

    type = "conversation"
    vendor_ids = { crm_case = "Case ID" }
    event_at = { column = "Opened", format = "%d.%m.%Y %H:%M", timezone = "Europe/Berlin" }
    thread_id = "Case ID"
    tags = ["Category"]
    participants = [{ id = "Agent", name = "Agent name", email = "Agent mail", role = { value = "internal" } }]
    attachments = [{ vendor_url = "Recording", filename = "File" }]
"""

import json
import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import msgspec

from evermuse.client.convert import instants
from evermuse.client.convert.format import UsageError
from evermuse.client.convert.mail import dates

ROLES = frozenset({"internal", "external", "unknown"})
TYPES = frozenset({"user", "contact", "workspace_member", "bot", "system", "unknown"})
_NUMBERED = re.compile(r"column [1-9][0-9]*")


class Constant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The same text in each record."""

    value: str


Source = str | Constant


class Moment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column with a date. ``format``: one or several formats of `strptime`. Default: ISO 8601, Unix time and mail dates."""

    column: str
    format: str | list[str] = []
    timezone: str = "UTC"


class Person(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The columns of one participant."""

    id: Source = ""
    name: Source = ""
    email: Source = ""
    role: Source = ""
    type: Source = ""


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The columns of one attachment."""

    vendor_url: Source = ""
    filename: Source = ""
    mime_type: Source = ""
    size: Source = ""


class Mapped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole mapping. ``tag_separator``: splits a column with several tags."""

    vendor_ids: dict[str, Source]
    event_at: str | Moment = ""
    type: Source = Constant("conversation")
    thread_id: Source = ""
    participants: list[Person] = []
    attachments: list[File] = []
    tags: list[Source] = []
    tag_separator: str = ""
    delimiter: str = ""
    quotechar: str = '"'
    escapechar: str = ""
    encoding: str = ""
    has_header: bool = True

    def columns(self) -> set[str]:
        """The columns that the mapping names."""
        moment = self.event_at.column if isinstance(self.event_at, Moment) else self.event_at
        parts = [*self.participants, *self.attachments]
        fields = [getattr(part, name) for part in parts for name in part.__struct_fields__]
        named = [*self.vendor_ids.values(), self.thread_id, self.type, *self.tags, *fields, moment]
        return {one for one in named if isinstance(one, str) and one}


def loaded(path: Path | None) -> Mapped:
    """Read the mapping in a file. Raises UsageError with the reason."""
    if path is None:
        raise UsageError("--mapping is needed: a TOML or JSON file that maps columns to fields")
    try:
        text = path.read_text("utf-8-sig")
        found = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
        if isinstance(found, dict) and isinstance(kind := found.get("type"), str):
            # A type is nearly always the same for all rows.
            found["type"] = {"value": kind}
        mapped = msgspec.convert(found, Mapped)
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise UsageError(f"{path}: {error}") from error
    if not mapped.vendor_ids:
        raise UsageError(f"{path}: vendor_ids needs at least one entry")
    if max(len(mapped.delimiter), len(mapped.escapechar)) > 1 or len(mapped.quotechar) != 1:
        raise UsageError(f"{path}: delimiter, quotechar and escapechar have one character")
    if fault := _fault_of(mapped):
        raise UsageError(f"{path}: {fault}")
    zone_of(mapped)
    return mapped


def _fault_of(mapped: Mapped) -> str:
    """What would make each row fail, or would be left out of each row, if anything."""
    for person in mapped.participants:
        for name, allowed in (("role", ROLES), ("type", TYPES)):
            if isinstance(given := getattr(person, name), Constant) and given.value.lower() not in allowed:
                return f"{name} of a participant: {given.value} is not one of {', '.join(sorted(allowed))}"
    if not mapped.has_header and (names := sorted(name for name in mapped.columns() if not _NUMBERED.fullmatch(name))):
        return f"without a header the columns are named column 1, column 2 and so on, and not {', '.join(names)}"
    patterns = mapped.event_at.format if isinstance(mapped.event_at, Moment) else []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        try:
            datetime.strptime(datetime(2024, 1, 31, tzinfo=UTC).strftime(pattern), pattern)
        except ValueError as error:
            if "directive" in str(error) or "stray" in str(error):
                return f"event_at.format: {error}"
    return ""


def zone_of(mapped: Mapped) -> tzinfo:
    """The time zone for times that name none. Raises UsageError."""
    name = mapped.event_at.timezone if isinstance(mapped.event_at, Moment) else "UTC"
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        # Windows and small containers have no time zones of their own.
        hint = "" if available_timezones() else ": this system has none, so install the package tzdata"
        raise UsageError(f"event_at.timezone: {name} is not a known time zone{hint}") from error


def moment_of(mapped: Mapped, row: Mapping[str, str], zone: tzinfo, given: datetime | None = None) -> datetime | None:
    """When the row happened, or None if its date cannot be read. ``given``: the time of rows without a date."""
    moment = mapped.event_at if isinstance(mapped.event_at, Moment) else Moment(mapped.event_at)
    text = row.get(moment.column, "").strip()
    if not text and given is not None:
        return given
    for pattern in [moment.format] if isinstance(moment.format, str) else moment.format:
        try:
            found = datetime.strptime(text, pattern)
            return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
        except (ValueError, OverflowError):
            continue
    if moment.format or not text:
        return None
    if text.replace(".", "", 1).isdigit() and len(text) >= 9:
        seconds = float(text)
        return instants.from_epoch(seconds / 1000 if seconds > 1e11 else seconds)
    found_at = instants.from_iso(text)
    if found_at is None:
        return dates.parsed(text)
    has_zone = text[-1:] in "zZ" or text[10:].find("+") >= 0 or text[10:].find("-") >= 0
    return found_at if has_zone or zone is UTC else found_at.replace(tzinfo=zone).astimezone(UTC)


def text_from(source: Source, row: Mapping[str, str]) -> str:
    """The text of a column, or a constant."""
    return source.value if isinstance(source, Constant) else row.get(source, "").strip()


def entries_of(parts: list[Any], row: Mapping[str, str]) -> list[dict[str, str]]:
    """The texts of participants or attachments; those without any text are left out."""
    found = []
    for part in parts:
        names = part.__struct_fields__
        if any(isinstance(source := getattr(part, name), str) and text_from(source, row) for name in names):
            found.append({name: text_from(getattr(part, name), row) for name in names})
    return found
