"""Objects of the bucket that hold records, and which lines of them belong to which batch."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q


class Segment(models.Model):
    """An object of the bucket that holds accepted records as lines (`lake.segments`). Only the object of a LIVE row is read.

    A row is committed before its object is written, so that every object has a row with its key:

        INTENDED ─▶ LIVE (the transaction that points to its lines) ─▶ REPLACED (compaction moved its lines)
            └─▶ ABANDONED (its worker died or lost its claim)

    The sweeper deletes the objects of all other rows after ``expires_at``.
    """

    class State(models.TextChoices):
        INTENDED = "I"
        LIVE = "L"
        REPLACED = "R"
        ABANDONED = "A"

    class Layout(models.IntegerChoices):
        PLAIN = 0, "One batch without a listing (before segments)"
        LISTED = 1, "Blocks with listings"
        JOURNAL = 2, "Part of the journal"

    workspace = models.ForeignKey(
        "ingest.Workspace", models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    source = models.CharField(max_length=64)
    type = models.CharField(max_length=32)
    day = models.DateField(help_text="The UTC date on which its records were accepted.")
    key = models.TextField(help_text="The object's key in the bucket. A part of it is random.")
    layout = models.PositiveSmallIntegerField(choices=Layout.choices, default=Layout.LISTED)
    state = models.CharField(max_length=1, choices=State.choices)
    size = models.BigIntegerField(help_text="Bytes in the object store, compressed.")
    line_count = models.PositiveIntegerField()
    dead_count = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Lines that no version of a record needs."
    )
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(
        null=True, help_text="When the sweeper deletes the object, unless the segment is live."
    )
    sweeps = models.PositiveSmallIntegerField(default=0, db_default=0, help_text="How often its object was deleted.")
    claim_token = models.BigIntegerField(default=0, db_default=0)
    claimed_until = models.DateTimeField(null=True, help_text="When the lease of the compaction that reads it expires.")

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["expires_at"], name="segment_to_sweep", condition=~Q(state="L")),
            # Compaction merges these. Few remain once a date is closed.
            models.Index(
                fields=["workspace", "source", "type", "day"],
                name="segment_small",
                condition=Q(state="L", size__lt=64 * 1024 * 1024),
            ),
        ]

    def __str__(self) -> str:
        return f"segment {self.pk}"


class SegmentBatch(models.Model):
    """Where the lines of a batch are: a segment, and a range of its bytes.

    A row of the index stores only its `Place`. Its batch leads to the range of bytes, and the listings there say which line
    has the record. If compaction has left out all lines of a batch, its segment may be gone.
    """

    batch = models.OneToOneField(
        "ingest.Batch", models.CASCADE, primary_key=True, related_name="segment_lines", db_constraint=False
    )
    segment = models.ForeignKey(Segment, models.PROTECT, related_name="+", db_index=False, db_constraint=False)
    line_count = models.IntegerField()
    start = models.IntegerField(help_text="Where its first block begins in the object, in bytes.")
    length = models.IntegerField(help_text="Total bytes of its blocks.")
    # NULL if the lines are in one block, as in nearly all small batches.
    ends = ArrayField(models.IntegerField(), null=True, help_text="Where each block ends, in bytes from `start`.")
    firsts = ArrayField(models.IntegerField(), null=True, help_text="The offset of each block's first line.")


class ArchivedObject(models.Model):
    """The object of one batch, written by a version before segments. The sweeper turns these rows into segments."""

    batch = models.OneToOneField("ingest.Batch", models.CASCADE, primary_key=True, related_name="archived_object")
    uri = models.TextField()
    record_count = models.PositiveIntegerField()
    size = models.PositiveIntegerField(help_text="Bytes in the object store, compressed.")
    sha256 = models.CharField(max_length=64, help_text="SHA-256 of the stored, compressed bytes, in hex.")
    created_at = models.DateTimeField()
