"""Inserts rows for the files of landed records, in the transaction that lands the batch."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import msgspec
from django.db import connection

from attachments import sql
from attachments.fetch.url_policy import host_of

OPTIONAL = ("filename", "vendor_url", "upload_intent_id", "size", "mime_type", "sha1", "md5")
MAX_BIGINT = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Registration:
    """One entry of a landed record's ``_attachments``, with its position. ``event_at``: the record's. ``size``: bytes."""

    record_id: UUID
    event_at: str
    record_index: int
    position: int
    type: str
    filename: str | None = None
    vendor_url: str | None = None
    upload_intent_id: str | None = None
    size: int | None = None
    mime_type: str | None = None
    sha1: str | None = None
    md5: str | None = None

    @property
    def is_metadata_alone(self) -> bool:
        """Whether there is nothing to fetch. Such entries are neither counted nor listed."""
        return self.vendor_url is None and self.upload_intent_id is None

    @property
    def origin(self) -> bytes:
        """A hash of the record, the URL or upload, and the declared checksums."""
        parts = [self.vendor_url, self.size, self.sha1, self.md5]
        if self.upload_intent_id is not None:
            parts.append(self.upload_intent_id)
        return origin_of(self.record_id, *parts)


def origin_of(record_id: UUID, *parts: str | int | None) -> bytes:
    """The hash behind `Registration.origin`."""
    return hashlib.sha256(json.dumps([record_id.hex, *parts]).encode()).digest()[:16]


def register(batches: Mapping[int, tuple[int, list[Registration]]]) -> None:
    """Insert the rows and counters of landed batches (id → workspace and entries) in the caller's transaction."""
    rows = [
        _row(batch_id, workspace_id, entry)
        for batch_id, (workspace_id, entries) in batches.items()
        for entry in entries
        if not entry.is_metadata_alone
    ]
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(sql.REGISTER, [msgspec.json.encode(rows).decode()])


def _row(batch_id: int, workspace_id: int, entry: Registration) -> dict[str, str | int | None]:
    """An entry by its columns' names."""
    return {
        "batch_id": batch_id,
        "workspace_id": workspace_id,
        "record_id": entry.record_id.hex,
        "event_at": entry.event_at,
        "record_index": entry.record_index,
        "position": entry.position,
        "type": entry.type,
        "filename": _text(entry.filename),
        "vendor_url": _text(entry.vendor_url),
        "upload_intent_id": _text(entry.upload_intent_id),
        "declared_mime_type": _text(entry.mime_type),
        "declared_size": None if entry.size is None else min(entry.size, MAX_BIGINT),
        "declared_sha1": _text(entry.sha1),
        "declared_md5": _text(entry.md5),
        "host": host_of(entry.vendor_url or ""),
        "origin": entry.origin.hex(),
    }


def _text(value: str | None) -> str:
    """A text without NUL, which PostgreSQL's text type cannot hold."""
    return (value or "").replace("\0", "\ufffd")
