"""Finds records in the lake again, to compare them or to follow the files of those that were there before the run."""

import time
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta

from msgspec import UNSET

from evermuse.client.answers import Batch, StoredRecord
from evermuse.client.blocking import Client
from evermuse.client.endpoints import vendor_id
from evermuse.client.errors import ApiError
from evermuse.client.send.checking import Candidate, check
from evermuse.client.send.waiting import POLL_SECONDS, Settled
from lake.envelope import Envelope

# Up to this many records are asked for one by one. For more, all records of their type and time are read as a stream.
FEW = 100


def rows_like(client: Client, envelope: Envelope) -> Iterator[StoredRecord]:
    """The stored records of a type and second that have the first vendor id of an envelope."""
    start = _second(envelope.event_at)
    name, value = next(iter(envelope.vendor_ids.items()))
    yield from client.records(
        type=envelope.type.lower(),
        vendor_id=vendor_id(name, value),
        event_since=start,
        event_until=start + timedelta(seconds=1),
    )


class EarlierFiles:
    """The records with files that the server had already. Their batches belong to earlier runs."""

    def __init__(self) -> None:
        self._identities: dict[str, set[int]] = {}
        self._spans: dict[str, tuple[datetime, datetime]] = {}
        self._first: list[Candidate] = []

    def add(self, candidate: Candidate) -> None:
        """Add a record, if the server stores files of it."""
        if not candidate.attachment_count or not _has_files(candidate):
            return
        type, second = candidate.type, _second(candidate.envelope.event_at)
        start, end = self._spans.get(type, (second, second))
        self._spans[type] = min(start, second), max(end, second)
        self._identities.setdefault(type, set()).add(candidate.identity)
        if len(self._first) <= FEW:
            self._first.append(candidate)

    def follow(self, client: Client, own: Collection[str], found: Settled, tick: Callable[[], None]) -> None:
        """Wait until their batches are settled, and count the files that failed. ``own``: batches that are counted."""
        batches: dict[str, set[str]] = {}
        for row in self._rows(client):
            if row.batch_id not in own:
                batches.setdefault(row.batch_id, set()).add(row.record_id)
            tick()
        for batch_id, records in batches.items():
            while not (batch := client.batch(batch_id)).is_settled:
                tick()
                time.sleep(POLL_SECONDS)
            if batch.attachment_download_failed and (failed := _failed_files(client, batch, records)):
                found.failed_files += failed
                found.with_failed_files.append(batch_id)
            if batch.status != "COMPLETE":
                found.failed.append(batch_id)

    def _rows(self, client: Client) -> Iterator[StoredRecord]:
        if len(self._first) <= FEW:
            for candidate in self._first:
                rows = rows_like(client, candidate.envelope)
                yield from (row for row in rows if _identity(row) == candidate.identity)
            return
        for type, identities in self._identities.items():
            start, end = self._spans[type]
            found = client.records(type=type, event_since=start, event_until=end + timedelta(seconds=1))
            yield from (row for row in found.stream() if _identity(row) in identities)


def _failed_files(client: Client, batch: Batch, records: Collection[str]) -> int:
    """The failed files of these records. All failed files of the batch, if retention has removed its ledger."""
    try:
        rows = client.attachments(batch.batch_id).stream()
        return sum(row.state == "FAILED" and row.record_id in records for row in rows)
    except ApiError as error:
        if error.code != "EXPIRED":
            raise
        return batch.attachment_download_failed or 0


def _has_files(candidate: Candidate) -> bool:
    return bool(candidate.local_files) or any(
        entry.vendor_url is not UNSET or entry.upload_intent_id is not UNSET
        for entry in candidate.envelope.attachment_list
    )


def _identity(row: StoredRecord) -> int | None:
    (found,) = check([bytes(row.record)], 0, 0)
    return found.identity if isinstance(found, Candidate) else None


def _second(event_at: str) -> datetime:
    return datetime.strptime(event_at[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
