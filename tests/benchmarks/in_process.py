"""The index, called in this process on the benchmark's database."""

import os
from datetime import UTC, datetime

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "evermuse.settings")
django.setup()

import msgspec  # noqa: E402
from django.db import connection, transaction  # noqa: E402

from ingest import parsers  # noqa: E402
from ingest.models import Batch, Workspace  # noqa: E402
from lake import index  # noqa: E402
from lake.envelope import Envelope  # noqa: E402
from lake.landing import LandedRecord, prepare  # noqa: E402
from lake.models import Payload  # noqa: E402
from tests.benchmarks import data  # noqa: E402
from tests.benchmarks.stack import BenchStack  # noqa: E402

_decode = msgspec.json.Decoder(Envelope).decode


class Index:
    """Prepares batches of new records, and upserts each in one commit."""

    def __init__(self, stack: BenchStack) -> None:
        self._workspace, _ = Workspace.objects.get_or_create(name="bench-index")

    def prepared(self, batches: int) -> list[tuple[int, list[LandedRecord]]]:
        """Prepares batches of 1,000 records, with the rows that they refer to."""
        made = []
        for _ in range(batches):
            batch = Batch.objects.create(
                workspace=self._workspace, source="api", type="conversation", created_at=datetime.now(UTC),
                status="COMPLETE", record_count=1000, accepted_count=1000, rejected_count=0, error_count=0,
            )  # fmt: skip
            body = data.ndjson(1000)
            split = parsers.split(body, Payload.Media.NDJSON)
            envelopes = [(i, _decode(line)) for i, line in enumerate(split.raws)]
            made.append((batch.pk, prepare(envelopes, self._workspace.pk, split.places(batch.pk))))
        return made

    def upsert_all(self, batches: list[tuple[int, list[LandedRecord]]]) -> None:
        """Upserts batches with one commit each."""
        for sequence, records in batches:
            self._upsert(sequence, records)

    def _upsert(self, sequence: int, records: list[LandedRecord]) -> None:
        batch = index.IndexedBatch(sequence, self._workspace.pk, datetime.now(UTC), datetime.now(UTC), records)
        with transaction.atomic():
            index.upsert([batch])
        assert set(batch.outcomes.values()) == {index.CREATED}

    def count_of(self, batches: list[tuple[int, list[LandedRecord]]]) -> int:
        """Counts the records of these batches in the table."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM lake_record WHERE batch_id = ANY(%s)", [[b for b, _ in batches]])
            return int(cursor.fetchone()[0])
