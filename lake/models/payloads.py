"""Bodies of accepted batches, in partitions by batch id."""

from django.contrib.postgres.fields import ArrayField
from django.db import models


class _StoredBody(models.Model):
    """The decompressed body of an accepted request, compressed in zstd frames (`lake.frames`)."""

    class Media(models.TextChoices):
        JSON = "application/json"
        NDJSON = "application/x-ndjson"

    media_type = models.CharField(max_length=24, choices=Media.choices)
    query = models.CharField(max_length=64, default="", blank=True)
    size = models.PositiveIntegerField(help_text="Bytes before compression.")
    frames = ArrayField(
        models.IntegerField(),
        default=list,
        db_default=[],
        help_text="Where each zstd frame ends. Empty if there is one frame.",
    )
    content = models.BinaryField()

    class Meta:
        abstract = True


class Payload(_StoredBody):
    """The body of a batch, until retention removes it. The worker lands it, and rows of the index point into it.

    This is a view over the two tables below, for reading.
    """

    # No constraint in the database: one statement inserts both rows, and each check would lock the batch's row again.
    batch = models.OneToOneField(
        "ingest.Batch", models.CASCADE, primary_key=True, related_name="payload", db_constraint=False
    )


class PayloadPart(_StoredBody):
    """Payloads in partitions by batch id. Old payloads are removed by dropping a partition (`ingest.pipeline.partitions`)."""

    batch = models.OneToOneField(
        "ingest.Batch", models.DO_NOTHING, primary_key=True, related_name="+", db_constraint=False
    )


class PayloadKept(_StoredBody):
    """Payloads that outlive their partition: of batches that have not landed, were given up, or are under a legal hold."""

    batch = models.OneToOneField(
        "ingest.Batch", models.DO_NOTHING, primary_key=True, related_name="+", db_constraint=False
    )
