"""The API's endpoints as values, so that both clients share one description of each."""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, Literal, TypedDict, TypeVar
from urllib.parse import quote

import msgspec

from evermuse.client import answers

T = TypeVar("T")

JSON, NDJSON = "application/json", "application/x-ndjson"
INGEST, BATCHES, RECORDS = "/api/v1/ingest", "/api/v1/ingest/batches", "/api/v1/records"
# A smaller body is not worth compressing.
_COMPRESS_BYTES = 1024
COMPRESSION_LEVEL = 1

Format = Literal["text", "audio", "video", "file"]
Instant = datetime | str


@dataclass(frozen=True, slots=True)
class Packed:
    """A body as it is sent, compressed if that is worth while. ``size``: its bytes before."""

    content: bytes
    headers: Mapping[str, str]
    size: int


# One record, several, or a body of JSON or NDJSON text as it is.
Records = Mapping[str, Any] | Sequence[Mapping[str, Any]] | bytes | Packed


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request. ``answer``: the type that its response is decoded to."""

    method: str
    path: str
    answer: type[T]
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A list that is read by pages or as one stream. ``name``: of the rows in a page."""

    path: str
    name: str
    row: type[T]
    query: Mapping[str, str] = field(default_factory=dict)

    def page(self, cursor: str | None, limit: int | None) -> Call[Any]:
        """The request for one page."""
        more = {"limit": str(limit)} if limit is not None else {}
        if cursor is not None:
            more["cursor"] = cursor
        return Call("GET", self.path, answers.Page, query={**self.query, **more})


class BatchFilters(TypedDict, total=False):
    """Filters of the list of batches."""

    status: str
    type: str
    source: str
    since: Instant
    until: Instant


class RecordFilters(TypedDict, total=False):
    """Filters of the list of records; all must match."""

    type: str
    product_id: str
    project_id: str
    thread_id: str
    tag: str
    participant: str
    vendor_id: str
    event_since: Instant
    event_until: Instant
    changed_since: Instant


def instant(value: Instant) -> str:
    """An instant as a query parameter. Raises ValueError for a time without a zone, because it is ambiguous."""
    if isinstance(value, str):
        return value
    if value.tzinfo is None:
        raise ValueError("the time has no zone: pass an aware datetime, such as datetime.now(UTC)")
    at = value.astimezone(UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def milliseconds(value: int) -> str:
    """Epoch milliseconds as a query parameter."""
    seconds, rest = divmod(value, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def vendor_id(name: str, value: str) -> str:
    """The filter ``vendor_id`` for one entry of ``_vendor_ids``."""
    return f"{name.replace('%', '%25').replace(':', '%3A')}:{value}"


def _query(given: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: instant(value) if isinstance(value, datetime) else str(value)
        for name, value in given.items()
        if value is not None
    }


def packed(body: bytes, media_type: str) -> Packed:
    """The body of a request."""
    headers, content = {"Content-Type": media_type}, body
    if len(body) >= _COMPRESS_BYTES:
        content = gzip.compress(body, COMPRESSION_LEVEL, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Packed(content, headers, len(body))


def _posted(path: str, body: Records, answer: type[T], *, media_type: str | None, format: Format | None) -> Call[T]:
    if isinstance(body, bytes):
        body = packed(body, media_type or NDJSON)
    elif not isinstance(body, Packed):
        body = packed(json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"), JSON)
    return Call("POST", path, answer, query=_query({"format": format}), headers=body.headers, content=body.content)


def ingest(body: Records, *, key: str, media_type: str | None, format: Format | None) -> Call[answers.Accepted]:
    """Send a batch."""
    call = _posted(INGEST, body, answers.Accepted, media_type=media_type, format=format)
    return Call(
        call.method,
        call.path,
        call.answer,
        query=call.query,
        headers={**call.headers, "Idempotency-Key": key},
        content=call.content,
    )


def validate(body: Records, *, media_type: str | None, format: Format | None) -> Call[answers.Checked]:
    """A dry run."""
    return _posted(f"{INGEST}/validate", body, answers.Checked, media_type=media_type, format=format)


def _json(method: str, path: str, body: Any, answer: type[T]) -> Call[T]:
    return Call(method, path, answer, headers={"Content-Type": JSON}, content=msgspec.json.encode(body))


def key() -> Call[answers.Key]:
    """What the key may do."""
    return Call("GET", "/api/v1/key", answers.Key)


def batches(filters: Mapping[str, Any]) -> Listing[answers.Batch]:
    """Batches, newest first."""
    return Listing(BATCHES, "batches", answers.Batch, _query(filters))


def batch(batch_id: str) -> Call[answers.Batch]:
    """One batch."""
    return Call("GET", f"{BATCHES}/{quote(batch_id, safe='')}", answers.Batch)


def rejections(batch_id: str) -> Listing[answers.Rejection]:
    """Every rejected record of a batch."""
    return Listing(f"{BATCHES}/{quote(batch_id, safe='')}/errors", "errors", answers.Rejection)


def outcomes(batch_id: str) -> Listing[answers.Outcome]:
    """The outcome of each record of a batch."""
    return Listing(f"{BATCHES}/{quote(batch_id, safe='')}/records", "records", answers.Outcome)


def attachments(batch_id: str) -> Listing[answers.Attachment]:
    """The ledger of a batch."""
    return Listing(f"{BATCHES}/{quote(batch_id, safe='')}/attachments", "attachments", answers.Attachment)


def fresh_url(batch_id: str, attachment_id: str, url: str) -> Call[Any]:
    """Give an attachment a fresh URL."""
    path = f"{BATCHES}/{quote(batch_id, safe='')}/attachments/{quote(attachment_id, safe='')}"
    return _json("PATCH", path, {"vendor_url": url}, dict)


def retry(batch_id: str) -> Call[Any]:
    """Retry what failed in a batch."""
    return Call("POST", f"{BATCHES}/{quote(batch_id, safe='')}/retry", dict)


def records(filters: Mapping[str, Any]) -> Listing[answers.StoredRecord]:
    """Records, in the order of their last change."""
    return Listing(RECORDS, "records", answers.StoredRecord, _query(filters))


def record(record_id: str) -> Call[answers.StoredRecord]:
    """One record."""
    return Call("GET", f"{RECORDS}/{quote(record_id, safe='')}", answers.StoredRecord)


def known(digests: Iterable[str]) -> Call[answers.Known]:
    """Which versions the workspace holds, by digest."""
    return _json("POST", f"{RECORDS}/known", {"digests": list(digests)}, answers.Known)


def removed(since: Instant | None) -> Listing[answers.Removal]:
    """Removed records, in the order of their removal."""
    return Listing(f"{RECORDS}/removed", "removed", answers.Removal, _query({"since": since}))


def upload(declared: Mapping[str, Any]) -> Call[answers.Upload]:
    """Create an upload intent."""
    given = {name: value for name, value in declared.items() if value is not None}
    return _json("POST", "/api/v1/uploads", given, answers.Upload)
