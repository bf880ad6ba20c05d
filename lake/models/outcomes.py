"""What became of each record of a batch."""

from typing import ClassVar

from django.db import models

from evermuse import public_ids


class RejectedRecord(models.Model):
    """A rejected record: its errors, and the bytes that were sent."""

    batch = models.ForeignKey("ingest.Batch", models.CASCADE, related_name="rejected_records", db_index=False)
    index = models.PositiveIntegerField()
    errors = models.TextField(help_text='ASCII JSON: [{"code", "pointer", "message"}].')
    payload = models.BinaryField()
    is_json = models.BooleanField(help_text="Whether the payload is JSON. False for a line that does not parse.")
    awaits_collection = models.BooleanField(
        default=True,
        db_default=True,
        help_text="Whether the verdict is final and the problem inbox has not counted it yet.",
    )

    class Meta:
        ordering: ClassVar = ["batch", "index"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["batch", "index"], name="rejected_once")]
        indexes: ClassVar = [
            models.Index(fields=["id"], name="rejected_to_collect", condition=models.Q(awaits_collection=True))
        ]

    def __str__(self) -> str:
        return f"{public_ids.of_batch(self.batch_id)}, record {self.index}"


class BatchOutcomes(models.Model):
    """The outcome of each record of a batch, in one row: a letter for each record, and the 16 bytes of its identity.

    Letters: c(reated) u(pdated) i(dentical) s(uperseded) r(ejected). Rejected records have 16 zero bytes.
    """

    batch = models.OneToOneField("ingest.Batch", models.CASCADE, primary_key=True, related_name="outcomes")
    letters = models.TextField()
    record_ids = models.BinaryField()
