"""What the lake holds: records (their current version), what was rejected, the objects, and each record's outcome."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q

from evermuse import public_ids


class ArchivedObject(models.Model):
    """The NDJSON object (zstd) that holds the accepted records of one batch."""

    batch = models.OneToOneField("ingest.Batch", models.CASCADE, primary_key=True, related_name="archived_object")
    uri = models.TextField()
    record_count = models.PositiveIntegerField()
    size = models.PositiveIntegerField(help_text="Bytes in the object store, compressed.")
    sha256 = models.CharField(max_length=64, help_text="Of the stored (compressed) bytes, hex.")
    created_at = models.DateTimeField()


class Record(models.Model):
    """The current version of a record. ``id`` is its identity (`lake.identity`), so that a re-send finds it.

    ``sequence`` and ``position`` are the record's place in the order of acceptance: they advance even when the version
    stays, because an identical re-send says what stands last. Only a greater place may write.
    """

    id = models.UUIDField(primary_key=True)
    workspace = models.ForeignKey("ingest.Workspace", models.PROTECT, related_name="+", db_index=False)
    batch = models.ForeignKey(
        "ingest.Batch", models.PROTECT, related_name="+", db_index=False, help_text="Wrote this version."
    )
    sequence = models.BigIntegerField(help_text="The last batch that sent it, whether or not it changed anything.")
    version = models.PositiveIntegerField()
    type = models.CharField(max_length=32)
    product_id = models.TextField()
    event_at = models.DateTimeField()
    first_accepted_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    # What filters look for: hashes of "name=value" (`lake.terms`); client strings may hold what a text column refuses.
    terms = ArrayField(models.BigIntegerField())
    digest = models.BinaryField(max_length=32, help_text="SHA-256 of the normalized envelope and the bytes of data.")
    head = models.BinaryField(help_text="The normalized envelope without data, JSON.")
    data = models.BinaryField(help_text="The value of data, byte for byte as sent.")
    storage_uri = models.TextField()

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["workspace", "updated_at", "id"], name="record_by_change"),
            GinIndex("terms", name="record_terms"),
            # Of events to come: all but always empty. With it a filter on the time of the event need not begin at the first
            # record (`lake.selectors`).
            models.Index(
                fields=["workspace", "updated_at", "id"],
                name="record_of_future",
                condition=Q(event_at__gt=F("updated_at")),
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        """The ``recordId`` of the API."""
        return public_ids.of_record(self.id)


class RejectedRecord(models.Model):
    """A record that was not accepted: all its errors, and the bytes that were sent."""

    batch = models.ForeignKey("ingest.Batch", models.CASCADE, related_name="rejected_records", db_index=False)
    index = models.PositiveIntegerField()
    errors = models.TextField(help_text='ASCII JSON: [{"code", "pointer", "message"}].')
    payload = models.BinaryField()
    is_json = models.BooleanField(help_text="False: a line that does not parse.")

    class Meta:
        ordering: ClassVar = ["batch", "index"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["batch", "index"], name="rejected_once")]

    def __str__(self) -> str:
        return f"{self.batch_id}[{self.index}]"


class BatchOutcomes(models.Model):
    """What became of each record of a batch, in one row: a letter a record, and 16 bytes of identity each.

    Letters: c(reated) u(pdated) i(dentical) s(uperseded) r(ejected). Rejected records have 16 zero bytes.
    """

    batch = models.OneToOneField("ingest.Batch", models.CASCADE, primary_key=True, related_name="outcomes")
    letters = models.TextField()
    record_ids = models.BinaryField()
