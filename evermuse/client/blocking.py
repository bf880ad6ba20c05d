"""The blocking client."""

import hashlib
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, Unpack

import httpx

from evermuse.client import answers, endpoints, lines, transport, uploading
from evermuse.client.endpoints import BatchFilters, Call, Format, Instant, Listing, RecordFilters, Records
from evermuse.client.errors import EvermuseError
from evermuse.client.pace import Pace
from evermuse.client.retry import Attempts, Retries

T = TypeVar("T")


class Pages(Generic[T]):
    """The rows of a list. Each page is requested when it is needed. Iterate over rows, or over `pages`."""

    def __init__(self, client: "Client", listing: Listing[T], limit: int | None) -> None:
        self._client, self._listing, self._limit = client, listing, limit

    def pages(self, cursor: str | None = None) -> Iterator[answers.Page[T]]:
        """The pages from a cursor on, or all of them."""
        while True:
            response = self._client._response(self._listing.page(cursor, self._limit))
            rows, cursor = transport.page_of(self._listing, response)
            yield answers.Page(rows, cursor)
            if cursor is None:
                return

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from page.rows

    def stream(self) -> Iterator[T]:
        """The same rows as one stream. Raises Unreachable if the stream breaks off; the rows before that are valid."""
        for line in self._client.lines(self._listing):
            yield transport.row_of(self._listing, line)


class Client:
    """The API as blocking calls. Threads may share one client. Use it in a ``with`` statement.

    ``rate``: the most requests per second that this client sends. ``retries``: see `evermuse.client.retry`.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        retries: Retries | None = None,
        rate: int | None = None,
        timeout: httpx.Timeout | float = transport.TIMEOUT,
        http: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = transport.base_url(url)
        self.retries = retries or Retries()
        self.pace = Pace(rate)
        headers = transport.headers(key)
        # Distinguishes keys in file names without revealing them.
        self.key_digest = hashlib.sha256(key.encode()).hexdigest()
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=timeout,
            limits=transport.CONNECTIONS,
            transport=http,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def call(self, call: Call[T]) -> T:
        """Send one request. Failures are retried according to `retries`."""
        return transport.answer_of(call, self._response(call))

    def raw(self, call: Call[Any]) -> bytes:
        """Like `call`, but returns the bytes of the answer."""
        return self._response(call).content

    def lines(self, listing: Listing[Any]) -> Iterator[bytes]:
        """A list as lines of NDJSON, in constant memory. Raises Unreachable if the stream breaks off."""
        return lines.split(self._parts(listing))

    def blocks(self, listing: Listing[Any]) -> Iterator[bytes]:
        """Like `lines`, but returns several lines at once, each with its line feed. This is faster."""
        return lines.whole(self._parts(listing))

    def _parts(self, listing: Listing[Any]) -> Iterator[bytes]:
        with self._opened(listing) as response:
            try:
                yield from response.iter_bytes()
            except httpx.HTTPError as error:
                raise transport.unreachable(error) from error

    def _response(self, call: Call[Any]) -> httpx.Response:
        attempts = Attempts(self.retries)
        while True:
            self._wait_for_turn()
            try:
                response = self._http.send(transport.request_of(self._http, call))
                transport.raise_for_status(response)
                return response
            except httpx.HTTPError as error:
                self._wait(attempts, transport.unreachable(error))
            except EvermuseError as error:
                self._wait(attempts, error)

    @contextmanager
    def _opened(self, listing: Listing[Any]) -> Iterator[httpx.Response]:
        attempts = Attempts(self.retries)
        while True:
            self._wait_for_turn()
            try:
                response = self._http.send(transport.stream_request(self._http, listing), stream=True)
                if not response.is_success:
                    response.read()
                    transport.raise_for_status(response)
                break
            except httpx.HTTPError as error:
                self._wait(attempts, transport.unreachable(error))
            except EvermuseError as error:
                self._wait(attempts, error)
        try:
            yield response
        finally:
            response.close()

    def _wait_for_turn(self) -> None:
        wait = self.pace.reserve()
        while wait > 0:
            time.sleep(wait)
            wait = self.pace.paused()

    def _wait(self, attempts: Attempts, error: EvermuseError) -> None:
        wait = attempts.wait(error)
        if error.code == "RATE_LIMITED":
            self.pace.pause(wait)
        else:
            time.sleep(wait)

    # -- The endpoints, in the order of the documentation --

    def key(self) -> answers.Key:
        """What this key may do, its rate, and the products of its workspace."""
        return self.call(endpoints.key())

    def send(
        self,
        records: Records,
        *,
        idempotency_key: str | None = None,
        media_type: str | None = None,
        format: Format | None = None,
    ) -> answers.Accepted:
        """Send a batch: one record, a list of them, or a body as bytes (NDJSON unless ``media_type`` says otherwise).

        If the answer is lost, the request is retried with the same Idempotency-Key, which is generated unless given.
        Raises ApiError. If every record was rejected, its code is VALIDATION_ERROR and ``details`` has the errors.
        """
        key = idempotency_key or str(uuid.uuid4())
        return self.call(endpoints.ingest(records, key=key, media_type=media_type, format=format))

    def validate(
        self, records: Records, *, media_type: str | None = None, format: Format | None = None
    ) -> answers.Checked:
        """A dry run of `send`: returns all errors and stores nothing."""
        return self.call(endpoints.validate(records, media_type=media_type, format=format))

    def batches(self, *, limit: int | None = None, **filters: Unpack[BatchFilters]) -> Pages[answers.Batch]:
        """Batches, newest first. ``limit``: rows in a page."""
        return Pages(self, endpoints.batches(filters), limit)

    def batch(self, batch_id: str) -> answers.Batch:
        """The status of a batch."""
        return self.call(endpoints.batch(batch_id))

    def wait(self, batch_id: str, *, seconds: float | None = None, every: float = 0.5) -> answers.Batch:
        """Poll a batch until it is COMPLETE or FAILED. Raises TimeoutError after ``seconds``."""
        ends_at = None if seconds is None else time.monotonic() + seconds
        while not (batch := self.batch(batch_id)).is_settled:
            if ends_at is not None and time.monotonic() > ends_at:
                raise TimeoutError(f"{batch_id} is {batch.status} after {seconds} seconds")
            time.sleep(every)
        return batch

    def errors(self, batch_id: str, *, limit: int | None = None) -> Pages[answers.Rejection]:
        """Every rejected record of a batch, with all errors and the payload as it was sent."""
        return Pages(self, endpoints.rejections(batch_id), limit)

    def outcomes(self, batch_id: str, *, limit: int | None = None) -> Pages[answers.Outcome]:
        """The outcome of each record of a batch."""
        return Pages(self, endpoints.outcomes(batch_id), limit)

    def attachments(self, batch_id: str, *, limit: int | None = None) -> Pages[answers.Attachment]:
        """The ledger of a batch: each attachment, its state and attempts."""
        return Pages(self, endpoints.attachments(batch_id), limit)

    def fresh_url(self, batch_id: str, attachment_id: str, url: str) -> Any:
        """Give an attachment a fresh URL. Its download starts again."""
        return self.call(endpoints.fresh_url(batch_id, attachment_id, url))

    def retry(self, batch_id: str) -> Any:
        """Retry what failed in a batch."""
        return self.call(endpoints.retry(batch_id))

    def records(self, *, limit: int | None = None, **filters: Unpack[RecordFilters]) -> Pages[answers.StoredRecord]:
        """Records by filters, in the order of their last change."""
        return Pages(self, endpoints.records(filters), limit)

    def record(self, record_id: str) -> answers.StoredRecord:
        """The current version of a record."""
        return self.call(endpoints.record(record_id))

    def known(self, digests: Iterable[str]) -> list[str]:
        """For each of up to 1,000 digests: current, replaced or unknown."""
        return self.call(endpoints.known(digests)).known

    def removed(self, since: Instant | None = None, *, limit: int | None = None) -> Pages[answers.Removal]:
        """Removed records, in the order of their removal."""
        return Pages(self, endpoints.removed(since), limit)

    def upload(self, path: Path, *, mime_type: str | None = None) -> str:
        """Upload a file; returns the ``upload_intent_id`` for a record. Raises OSError if the file cannot be read."""
        declared = uploading.declare(path, mime_type)
        intent = self.call(endpoints.upload(declared))
        attempts = Attempts(self.retries)
        while True:
            try:
                self._put(intent.upload_url, path, declared["size"])
                return intent.upload_intent_id
            except httpx.HTTPError as error:
                time.sleep(attempts.wait(transport.unreachable(error)))
            except EvermuseError as error:
                time.sleep(attempts.wait(error))

    def _put(self, url: str, path: Path, size: int) -> None:
        """PUT without the API key: the URL leads to the object store and is signed."""
        headers = {"Content-Length": str(size)}
        with path.open("rb") as file:
            response = httpx.put(url, content=uploading.parts(file), headers=headers, timeout=uploading.TIMEOUT)
        uploading.raise_unless_stored(response)
