"""The asyncio client: the same calls as in `evermuse.client.blocking`, as coroutines."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
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


class AsyncPages(Generic[T]):
    """The rows of a list. Each page is requested when it is needed. Iterate over rows, or over `pages`."""

    def __init__(self, client: "AsyncClient", listing: Listing[T], limit: int | None) -> None:
        self._client, self._listing, self._limit = client, listing, limit

    async def pages(self, cursor: str | None = None) -> AsyncIterator[answers.Page[T]]:
        """The pages from a cursor on, or all of them."""
        while True:
            response = await self._client._response(self._listing.page(cursor, self._limit))
            rows, cursor = transport.page_of(self._listing, response)
            yield answers.Page(rows, cursor)
            if cursor is None:
                return

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for row in page.rows:
                yield row

    async def stream(self) -> AsyncIterator[T]:
        """The same rows as one stream. Raises Unreachable if the stream breaks off; the rows before that are valid."""
        async for line in self._client.lines(self._listing):
            yield transport.row_of(self._listing, line)


class AsyncClient:
    """The API for asyncio. Tasks may share one client. Use it in an ``async with`` statement.

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
        http: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = transport.base_url(url)
        self.retries = retries or Retries()
        self.pace = Pace(rate)
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers=transport.headers(key),
            timeout=timeout,
            limits=transport.CONNECTIONS,
            transport=http,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def call(self, call: Call[T]) -> T:
        """Send one request. Failures are retried according to `retries`."""
        return transport.answer_of(call, await self._response(call))

    async def raw(self, call: Call[Any]) -> bytes:
        """Like `call`, but returns the bytes of the answer."""
        return (await self._response(call)).content

    def lines(self, listing: Listing[Any]) -> AsyncIterator[bytes]:
        """A list as lines of NDJSON, in constant memory. Raises Unreachable if the stream breaks off."""
        return lines.split_async(self._parts(listing))

    def blocks(self, listing: Listing[Any]) -> AsyncIterator[bytes]:
        """Like `lines`, but returns several lines at once, each with its line feed. This is faster."""
        return lines.whole_async(self._parts(listing))

    async def _parts(self, listing: Listing[Any]) -> AsyncIterator[bytes]:
        async with self._opened(listing) as response:
            try:
                async for part in response.aiter_bytes():
                    yield part
            except httpx.HTTPError as error:
                raise transport.unreachable(error) from error

    async def _response(self, call: Call[Any]) -> httpx.Response:
        attempts = Attempts(self.retries)
        while True:
            await self._wait_for_turn()
            try:
                response = await self._http.send(transport.request_of(self._http, call))
                transport.raise_for_status(response)
                return response
            except httpx.HTTPError as error:
                await self._wait(attempts, transport.unreachable(error))
            except EvermuseError as error:
                await self._wait(attempts, error)

    @asynccontextmanager
    async def _opened(self, listing: Listing[Any]) -> AsyncIterator[httpx.Response]:
        attempts = Attempts(self.retries)
        while True:
            await self._wait_for_turn()
            try:
                response = await self._http.send(transport.stream_request(self._http, listing), stream=True)
                if not response.is_success:
                    await response.aread()
                    transport.raise_for_status(response)
                break
            except httpx.HTTPError as error:
                await self._wait(attempts, transport.unreachable(error))
            except EvermuseError as error:
                await self._wait(attempts, error)
        try:
            yield response
        finally:
            await response.aclose()

    async def _wait_for_turn(self) -> None:
        wait = self.pace.reserve()
        while wait > 0:
            await asyncio.sleep(wait)
            wait = self.pace.paused()

    async def _wait(self, attempts: Attempts, error: EvermuseError) -> None:
        wait = attempts.wait(error)
        if error.code == "RATE_LIMITED":
            self.pace.pause(wait)
        else:
            await asyncio.sleep(wait)

    # -- The endpoints, in the order of the documentation --

    async def key(self) -> answers.Key:
        """What this key may do, its rate, and the products of its workspace."""
        return await self.call(endpoints.key())

    async def send(
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
        return await self.call(endpoints.ingest(records, key=key, media_type=media_type, format=format))

    async def validate(
        self, records: Records, *, media_type: str | None = None, format: Format | None = None
    ) -> answers.Checked:
        """A dry run of `send`: returns all errors and stores nothing."""
        return await self.call(endpoints.validate(records, media_type=media_type, format=format))

    def batches(self, *, limit: int | None = None, **filters: Unpack[BatchFilters]) -> AsyncPages[answers.Batch]:
        """Batches, newest first. ``limit``: rows in a page."""
        return AsyncPages(self, endpoints.batches(filters), limit)

    async def batch(self, batch_id: str) -> answers.Batch:
        """The status of a batch."""
        return await self.call(endpoints.batch(batch_id))

    async def wait(self, batch_id: str, *, seconds: float | None = None, every: float = 0.5) -> answers.Batch:
        """Poll a batch until it is COMPLETE or FAILED. Raises TimeoutError after ``seconds``."""
        ends_at = None if seconds is None else time.monotonic() + seconds
        while not (batch := await self.batch(batch_id)).is_settled:
            if ends_at is not None and time.monotonic() > ends_at:
                raise TimeoutError(f"{batch_id} is {batch.status} after {seconds} seconds")
            await asyncio.sleep(every)
        return batch

    def errors(self, batch_id: str, *, limit: int | None = None) -> AsyncPages[answers.Rejection]:
        """Every rejected record of a batch, with all errors and the payload as it was sent."""
        return AsyncPages(self, endpoints.rejections(batch_id), limit)

    def outcomes(self, batch_id: str, *, limit: int | None = None) -> AsyncPages[answers.Outcome]:
        """The outcome of each record of a batch."""
        return AsyncPages(self, endpoints.outcomes(batch_id), limit)

    def attachments(self, batch_id: str, *, limit: int | None = None) -> AsyncPages[answers.Attachment]:
        """The ledger of a batch: each attachment, its state and attempts."""
        return AsyncPages(self, endpoints.attachments(batch_id), limit)

    async def fresh_url(self, batch_id: str, attachment_id: str, url: str) -> Any:
        """Give an attachment a fresh URL. Its download starts again."""
        return await self.call(endpoints.fresh_url(batch_id, attachment_id, url))

    async def retry(self, batch_id: str) -> Any:
        """Retry what failed in a batch."""
        return await self.call(endpoints.retry(batch_id))

    def records(
        self, *, limit: int | None = None, **filters: Unpack[RecordFilters]
    ) -> AsyncPages[answers.StoredRecord]:
        """Records by filters, in the order of their last change."""
        return AsyncPages(self, endpoints.records(filters), limit)

    async def record(self, record_id: str) -> answers.StoredRecord:
        """The current version of a record."""
        return await self.call(endpoints.record(record_id))

    async def known(self, digests: Iterable[str]) -> list[str]:
        """For each of up to 1,000 digests: current, replaced or unknown."""
        return (await self.call(endpoints.known(digests))).known

    def removed(self, since: Instant | None = None, *, limit: int | None = None) -> AsyncPages[answers.Removal]:
        """Removed records, in the order of their removal."""
        return AsyncPages(self, endpoints.removed(since), limit)

    async def upload(self, path: Path, *, mime_type: str | None = None) -> str:
        """Upload a file; returns the ``upload_intent_id`` for a record. Raises OSError if the file cannot be read."""
        declared = await asyncio.to_thread(uploading.declare, path, mime_type)
        intent = await self.call(endpoints.upload(declared))
        attempts = Attempts(self.retries)
        while True:
            try:
                await self._put(intent.upload_url, path, declared["size"])
                return intent.upload_intent_id
            except httpx.HTTPError as error:
                await asyncio.sleep(attempts.wait(transport.unreachable(error)))
            except EvermuseError as error:
                await asyncio.sleep(attempts.wait(error))

    async def _put(self, url: str, path: Path, size: int) -> None:
        """PUT without the API key: the URL leads to the object store and is signed."""
        headers = {"Content-Length": str(size)}
        async with httpx.AsyncClient(timeout=uploading.TIMEOUT) as http:
            with path.open("rb") as file:
                response = await http.put(url, content=uploading.parts_async(file), headers=headers)
        uploading.raise_unless_stored(response)
