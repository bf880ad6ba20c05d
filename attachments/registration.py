"""Registration: the downloadable attachments of landed records become rows, in the transaction that lands the batch."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models.functions import Now

from attachments.models import Attachment, AttachmentTally, VendorHost
from attachments.url_policy import host_of

OPTIONAL = ("filename", "vendor_url", "upload_intent_id", "size", "mime_type", "sha1", "md5")
MAX_BIGINT = 2**63 - 1

State = Attachment.State


@dataclass(frozen=True, slots=True)
class Registration:
    """One entry of a landed record's ``_attachments``, with its place. ``size``: bytes."""

    record_id: UUID
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
        """Whether there is nothing to fetch: not counted, not in the ledger."""
        return self.vendor_url is None and self.upload_intent_id is None

    @property
    def origin(self) -> bytes:
        """A hash that is equal when the same record names the same URL or upload with the same checksums."""
        parts = [self.vendor_url, self.size, self.sha1, self.md5]
        if self.upload_intent_id is not None:
            parts.append(self.upload_intent_id)
        return origin_of(self.record_id, *parts)


def origin_of(record_id: UUID, *parts: str | int | None) -> bytes:
    """The hash behind `Registration.origin`."""
    return hashlib.sha256(json.dumps([record_id.hex, *parts]).encode()).digest()[:16]


def register(batches: Mapping[int, tuple[int, list[Registration]]]) -> None:
    """Make the rows and counters of landed batches (id → workspace and entries), inside the caller's transaction."""
    rows: list[Attachment] = []
    tallies: list[AttachmentTally] = []
    wanted = {
        batch_id: (workspace_id, [entry for entry in entries if not entry.is_metadata_alone])
        for batch_id, (workspace_id, entries) in batches.items()
    }
    stored = _already_stored((w, entry) for w, entries in wanted.values() for entry in entries)
    for batch_id, (workspace_id, entries) in wanted.items():
        made = [_row(batch_id, workspace_id, e, stored.get((workspace_id, e.origin))) for e in entries]
        if made:
            complete = sum(row.state == State.COMPLETE for row in made)
            rows += made
            tallies.append(AttachmentTally(batch_id=batch_id, total=len(made), complete=complete))
    # In the order of their key, so that two landings cannot deadlock.
    hosts = sorted({row.host for row in rows if row.host})
    VendorHost.objects.bulk_create([VendorHost(host=host) for host in hosts], ignore_conflicts=True)
    Attachment.objects.bulk_create(rows, batch_size=1000)
    AttachmentTally.objects.bulk_create(tallies)


def _already_stored(entries: Iterable[tuple[int, Registration]]) -> dict[tuple[int, bytes], Attachment]:
    """Attachments of the same records, URLs and checksums that are COMPLETE."""
    asked = {(workspace_id, e.origin) for workspace_id, e in entries if not (e.vendor_url and e.upload_intent_id)}
    if not asked:
        return {}
    found = Attachment.objects.filter(
        workspace_id__in={workspace_id for workspace_id, _ in asked},
        origin__in=[origin for _, origin in asked],
        state=State.COMPLETE,
    )
    return {(row.workspace_id, bytes(row.origin)): row for row in found}


def _row(batch_id: int, workspace_id: int, entry: Registration, stored: Attachment | None) -> Attachment:
    now: Any = Now()  # the database's clock, which the claims go by
    row = Attachment(
        batch_id=batch_id,
        workspace_id=workspace_id,
        record_id=entry.record_id,
        record_index=entry.record_index,
        position=entry.position,
        type=entry.type,
        filename=_text(entry.filename),
        vendor_url=_text(entry.vendor_url),
        upload_intent_id=_text(entry.upload_intent_id),
        declared_mime_type=_text(entry.mime_type),
        declared_size=None if entry.size is None else min(entry.size, MAX_BIGINT),
        declared_sha1=_text(entry.sha1),
        declared_md5=_text(entry.md5),
        host=host_of(entry.vendor_url or ""),
        origin=entry.origin,
        next_attempt_at=now,
        created_at=now,
    )
    if stored is not None:
        row.state, row.next_attempt_at, row.completed_at = State.COMPLETE, None, now
        row.size, row.mime_type, row.storage_uri = stored.size, stored.mime_type, stored.storage_uri
        row.sha256, row.sha1, row.md5 = stored.sha256, stored.sha1, stored.md5
    return row


def _text(value: str | None) -> str:
    """What a text column holds: PostgreSQL's has no NUL."""
    return (value or "").replace("\0", "\ufffd")
