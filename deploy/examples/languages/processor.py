"""The processor of the example."""

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction

from lake.batch_records import records_of
from lake.processors import Processor, WakeUp

from .models import FinishedBatch, RecordLanguage
from .texts import language_of, text_of


class Languages(Processor):
    """Named in ``EVERMUSE_PROCESSORS``."""

    name = "languages"

    def start(self, batch_ids: Sequence[int], wake: WakeUp) -> None:
        """Do all of it at once: a batch has at most 1,000 records, which take about a tenth of a second."""
        for batch_id in batch_ids:
            rows = [_row(batch_id, record.index, record.id, record.data) for record in records_of(batch_id)]
            with transaction.atomic():
                # Idempotent: a batch that is started again has its rows replaced.
                RecordLanguage.objects.filter(batch_id=batch_id).delete()
                RecordLanguage.objects.bulk_create(rows)
                FinishedBatch.objects.get_or_create(batch_id=batch_id)

    def settled(self, batch_ids: Sequence[int]) -> set[int]:
        """Batches that `start` noted as finished. The rows cannot show this, because `records_of` may return no records."""
        found = FinishedBatch.objects.filter(batch_id__in=batch_ids)
        return set(found.values_list("batch_id", flat=True))


def _row(batch_id: int, index: int, record_id: UUID, data: bytes) -> RecordLanguage:
    text = text_of(data)
    return RecordLanguage(
        batch_id=batch_id,
        record_index=index,
        record_id=record_id,
        language=language_of(text),
        words=len(text.split()),
    )
