"""What the example finds out, and which batches it has finished."""

from typing import ClassVar

from django.db import models


class RecordLanguage(models.Model):
    """Language and words of a record's text, as one batch sent it."""

    # Not a foreign key: retention must be able to delete batches without reading this table.
    batch_id = models.BigIntegerField()
    record_index = models.PositiveIntegerField(help_text="Its place in the batch, from 0.")
    record_id = models.UUIDField()
    language = models.CharField(max_length=8, blank=True, help_text="ISO 639-1; empty where there is no text.")
    words = models.PositiveIntegerField()

    # Django's own manager, named for mypy: it knows only apps that are always installed.
    objects: "ClassVar[models.Manager[RecordLanguage]]" = models.Manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["batch_id", "record_index"], name="record_language_once")
        ]

    def __str__(self) -> str:
        return f"{self.record_id}: {self.language or 'no text'}"


class FinishedBatch(models.Model):
    """A batch whose rows are all stored. It may have none: compaction may have dropped all its records."""

    batch_id = models.BigIntegerField(primary_key=True)

    objects: "ClassVar[models.Manager[FinishedBatch]]" = models.Manager()

    def __str__(self) -> str:
        return str(self.batch_id)
