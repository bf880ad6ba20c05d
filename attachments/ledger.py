"""The attachments of a batch with their attempts, as the API shows them."""

import json
from collections.abc import Sequence
from typing import Any

from django.db.models import Prefetch

from attachments.models import Attachment, AttachmentTally, DownloadAttempt
from attachments.serving import links
from evermuse import public_ids
from evermuse.instants import milliseconds

State = Attachment.State


def page(batch_id: int, *, after: Sequence[Any] | None, limit: int) -> tuple[list[dict[str, Any]], list[int] | None]:
    """Attachments with their attempts, in the order of the records, and the cursor of the next page."""
    rows = Attachment.objects.filter(batch_id=batch_id).order_by("record_index", "position")
    if after is not None:
        # A record has at most ten attachments, so skipping those of the last record is cheap.
        rows = rows.filter(record_index__gte=after[0]).exclude(record_index=after[0], position__lte=after[1])
    found = list(rows.prefetch_related(_attempts())[: limit + 1])
    following = None
    if len(found) > limit:
        following = [found[limit - 1].record_index, found[limit - 1].position]
    return [entry(attachment) for attachment in found[:limit]], following


def has_expired(batch_id: int) -> bool:
    """Whether retention removed the attempts of the batch's files and no file was retried since."""
    return AttachmentTally.objects.filter(batch_id=batch_id, ledger_expired=True).exists()


def one(attachment_id: int) -> dict[str, Any]:
    """One attachment with its attempts."""
    return entry(Attachment.objects.prefetch_related(_attempts()).get(pk=attachment_id))


def _attempts() -> "Prefetch[str, Any, str]":
    return Prefetch("download_attempts", DownloadAttempt.objects.order_by("token"), to_attr="ledger_attempts")


def encoded_page(
    batch_id: int, *, after: Sequence[Any] | None, limit: int, max_bytes: int
) -> tuple[list[bytes], list[int] | None]:
    """Like `page`, but as lines of JSON text of at most ``max_bytes`` together. A single row may be longer."""
    rows, following = page(batch_id, after=after, limit=limit)
    found: list[bytes] = []
    size = 0
    for row in rows:
        text = json.dumps(row).encode()
        size += len(text)
        if found and size > max_bytes:
            end = rows[len(found) - 1]
            return found, [end["recordIndex"], end["position"]]
        found.append(text)
    return found, following


def entry(attachment: Attachment) -> dict[str, Any]:
    """One attachment with its prefetched attempts."""
    is_complete = attachment.state == State.COMPLETE
    attempts: list[DownloadAttempt] = getattr(attachment, "ledger_attempts", [])
    return {
        "attachmentId": attachment.public_id,
        "recordId": public_ids.of_record(attachment.record_id),
        "recordIndex": attachment.record_index,
        "position": attachment.position,
        "type": attachment.type,
        "filename": attachment.filename or None,
        "vendorUrl": attachment.vendor_url or None,
        "state": attachment.state,
        "size": attachment.size if is_complete else None,
        "mimeType": (attachment.mime_type if is_complete else attachment.declared_mime_type) or None,
        "sha256": attachment.sha256 or None,
        "sha1": attachment.sha1 or None,
        "md5": attachment.md5 or None,
        "storageUri": attachment.storage_uri or None,
        "downloadUrl": url_of(attachment),
        "nextAttemptAt": milliseconds(attachment.next_attempt_at) if attachment.state == State.PENDING else None,
        "error": (
            {"code": attachment.error_code, "message": attachment.error_message}
            if attachment.state == State.FAILED
            else None
        ),
        "attempts": [
            {
                "startedAt": milliseconds(attempt.started_at),
                "finishedAt": milliseconds(attempt.finished_at),
                "httpStatus": attempt.http_status,
                "bytes": attempt.bytes,
                "code": attempt.code,
                "message": attempt.message,
            }
            for attempt in attempts
        ],
    }


def url_of(attachment: Attachment) -> str | None:
    """A URL of the stored file that ends within the hour, or None if no file is stored."""
    if attachment.state != State.COMPLETE:
        return None
    return links.download_url(attachment.storage_uri, filename=attachment.filename, mime_type=attachment.mime_type)
