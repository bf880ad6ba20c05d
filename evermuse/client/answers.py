"""The API's answers as types. Fields have the contract's names in snake case. Instants are epoch milliseconds."""

from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Raw, Struct

T = TypeVar("T")

BatchStatus = Literal["LANDING", "LANDED", "PROCESSING", "COMPLETE", "FAILED"]
SETTLED = ("COMPLETE", "FAILED")


class Answer(Struct, rename="camel", kw_only=True):
    """The base of all answers: fields that a later server adds are ignored."""


class RecordError(Answer):
    """One error of one record, as the answer to a batch has it."""

    index: int
    code: str
    message: str
    pointer: str | None = None


class Accepted(Answer):
    """The answer to a batch. ``errors``: the first 20. ``is_replay``: a repeated Idempotency-Key."""

    batch_id: str
    accepted_count: int
    rejected_count: int
    total_error_count: int
    errors: list[RecordError]
    is_replay: bool = False


class Checked(Answer):
    """The answer to a dry run, with all errors."""

    accepted_count: int
    rejected_count: int
    total_error_count: int
    errors: list[RecordError]


class Batch(Answer):
    """The status of a batch."""

    batch_id: str
    status: str
    created_at: int
    accepted_count: int
    rejected_count: int
    total_error_count: int
    errors: list[RecordError]
    source: str
    type: str
    attachment_download_total: int | None = None
    attachment_download_complete: int | None = None
    attachment_download_failed: int | None = None
    attachment_download_status: str | None = None

    @property
    def is_settled(self) -> bool:
        """Whether the batch and its files are finished: nothing more happens without a retry."""
        return self.status in SETTLED and not (self.status == "COMPLETE" and self._open_files)

    @property
    def _open_files(self) -> int:
        """The files that are not settled. A complete batch has some after a retry."""
        settled = (self.attachment_download_complete or 0) + (self.attachment_download_failed or 0)
        return (self.attachment_download_total or 0) - settled


class FieldError(Answer):
    """One broken rule of a rejected record."""

    code: str
    pointer: str
    message: str


class Rejection(Answer):
    """A rejected record. ``payload``: JSON as it was sent, or a JSON string with the line that does not parse."""

    index: int
    errors: list[FieldError]
    payload: Raw


class Outcome(Answer):
    """The outcome of a record that was sent: created, updated, identical, superseded, rejected or pending."""

    index: int
    outcome: str
    record_id: str | None = None


class AttachmentError(Answer):
    """Why an attachment failed."""

    code: str
    message: str


class Attempt(Answer):
    """One attempt to download an attachment. ``bytes``: the number received."""

    started_at: int | None = None
    finished_at: int | None = None
    http_status: int | None = None
    bytes: int | None = None
    code: str | None = None
    message: str | None = None


class Attachment(Answer):
    """A row of a batch's ledger. ``size``: bytes."""

    attachment_id: str
    record_id: str
    record_index: int
    position: int
    state: str
    type: str | None = None
    filename: str | None = None
    vendor_url: str | None = None
    size: int | None = None
    mime_type: str | None = None
    sha256: str | None = None
    sha1: str | None = None
    md5: str | None = None
    storage_uri: str | None = None
    download_url: str | None = None
    next_attempt_at: int | None = None
    error: AttachmentError | None = None
    attempts: list[Attempt] = []


class StoredRecord(Answer):
    """A record of the lake. ``record``: the normalized envelope as JSON, with ``data`` byte for byte as it was sent."""

    record_id: str
    batch_id: str
    first_accepted_at: int
    updated_at: int
    version: int
    storage_uri: str
    record: Raw

    def envelope(self) -> dict[str, Any]:
        """The envelope as Python values. They do not keep how numbers were written; ``record`` does."""
        decoded: dict[str, Any] = msgspec.json.decode(self.record)
        return decoded


class Removal(Answer):
    """A record that was removed. ``reason``: retention or operator."""

    record_id: str
    removed_at: int
    reason: str


class Product(Answer):
    """A product of the workspace, and its projects."""

    product_id: str
    project_ids: list[str]


class Key(Answer):
    """What a key may do. ``rate_limit``: requests per second, None for no limit."""

    label: str
    source: str
    permissions: list[str]
    rate_limit: int | None
    expires_at: int | None
    products: list[Product]


class Upload(Answer):
    """An upload intent: PUT the file to ``upload_url``, and name ``upload_intent_id`` in a record."""

    upload_intent_id: str
    upload_url: str
    method: str
    expires_at: int


class Known(Answer):
    """For each digest: current, replaced or unknown."""

    known: list[str]


class Page(Struct, Generic[T]):
    """A page of a list. ``cursor``: of the next page, None on the last one."""

    rows: list[T]
    cursor: str | None
