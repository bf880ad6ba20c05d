"""The accepted records of a landed batch, for processors. It hides where their bytes are stored."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from evermuse.errors import ArchiveDamaged
from lake import archive, reading
from lake.envelope import Envelope
from lake.index import REJECTED
from lake.models import BatchOutcomes


@dataclass(frozen=True, slots=True)
class StoredBatchRecord:
    """A `lake.processors.BatchRecord` read from storage."""

    index: int
    id: UUID
    envelope: Envelope

    @property
    def data(self) -> bytes:
        """The JSON object ``data``. Line breaks between its tokens may have become spaces."""
        return bytes(self.envelope.data)


def records_of(batch_id: int) -> Iterator[StoredBatchRecord]:
    """The accepted records of a batch as it sent them, by index, including superseded ones. Empty before the batch has landed.

    After the batch's date is over, compaction may remove superseded records that no version needs, so there may be fewer or
    none. A batch has at most 1,000 records and 5 MB. Raises StoreUnavailable and ArchiveDamaged. Do not catch them: the
    pipeline tries the batch again.
    """
    outcomes = BatchOutcomes.objects.filter(batch_id=batch_id).first()
    archived = archive.of(batch_id)
    if outcomes is None or archived is None:
        return
    indexes = [index for index, letter in enumerate(outcomes.letters) if letter != REJECTED]
    ids = bytes(outcomes.record_ids)
    for index, line in archive.by_index(archived, indexes):
        record = reading.relaxed(line)
        if record is None:
            raise ArchiveDamaged(f"record {index} does not have the fields of an envelope")
        yield StoredBatchRecord(index, UUID(bytes=ids[index * 16 : index * 16 + 16]), record.envelope)
