"""The index of records: current versions, replaced versions, and the list of removed records."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex, GinIndex
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Substr

from evermuse import public_ids
from lake.frames import Place


class Record(models.Model):
    """The current version of a record. ``id`` is its identity (`lake.identity`), so a record that is sent again is
    recognised.

    A batch whose number is smaller than that of the last sender may not overwrite the row. An identical record counts as the
    last one sent, although it changes nothing.

    A database that an earlier version filled has more columns for an hour (`lake.index_layout`).
    """

    id = models.UUIDField(primary_key=True)
    # No constraints in the database: their two checks take a third of the upsert. Rows are written only while their
    # batch is locked, and Django's deletion protects both.
    workspace = models.ForeignKey(
        "ingest.Workspace", models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    batch = models.ForeignKey(
        "ingest.Batch",
        models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
        help_text="The batch that wrote this version.",
    )
    resent_by = models.BigIntegerField(
        null=True,
        help_text="The last batch that sent it again without a change. Empty: the batch that wrote this version.",
    )
    version = models.PositiveIntegerField()
    event_at = models.DateTimeField()
    first_accepted_at = models.DateTimeField(
        null=True, help_text="Empty: when the batch that wrote this version was accepted."
    )
    updated_at = models.DateTimeField(help_text="The instant of the landing that wrote this version (`lake.horizon`).")
    # Filters search for hashes of "name=value" (`lake.terms`). A text column could not hold every string of a client. Those that
    # hardly any other record has are in columns of their own, and those that many have in common in a set
    # (`lake.term_sets`): B-trees take fewer bytes for them than the index of arrays. Rows of earlier versions have all in
    # ``terms``, with the id of a set.
    thread_term = models.BigIntegerField(null=True, help_text="The term of its thread.")
    vendor_term = models.BigIntegerField(null=True, help_text="The term of its first vendor id.")
    term_set = models.IntegerField(null=True, help_text="The number of its set of terms (`lake.terms.short`).")
    terms = ArrayField(models.BigIntegerField(), null=True, help_text="Its other terms.")
    digest = models.BinaryField(
        max_length=32,
        help_text="The first 16 bytes of SHA-256 of the normalized envelope and the bytes of data. Rows of earlier versions "
        "have all 32.",
    )
    # The record as it was sent is in the payload of the batch that wrote this version (`lake.frames`).
    body_offset = models.PositiveIntegerField(help_text="Where it begins in the body of its batch, in bytes.")
    body_size = models.PositiveIntegerField(help_text="Its length in the body of its batch, in bytes.")

    class Meta:
        indexes: ClassVar = [
            # Lists are in the order of `updated_at` and `id`. PostgreSQL sorts the rows of one landing, at most a few
            # thousand, when it reads them: without ids this index takes 7 bytes a record instead of 50.
            models.Index(fields=["workspace", "updated_at"], name="record_by_instant"),
            # A short pending list (kB): every filter reads all of it, and the index never returns the pages of a long one.
            GinIndex("terms", name="record_other_terms", gin_pending_list_limit=128, condition=Q(terms__isnull=False)),
            models.Index(fields=["thread_term"], name="record_by_thread", condition=Q(thread_term__isnull=False)),
            models.Index(fields=["vendor_term"], name="record_by_vendor", condition=Q(vendor_term__isnull=False)),
            models.Index(fields=["term_set"], name="record_by_term_set", condition=Q(term_set__isnull=False)),
            # Seven bytes and their length fit into the smallest entry of a B-tree.
            models.Index(Substr("digest", 1, 7), name="record_by_digest_start"),
            # Retention by the age of the event: a few bytes for each thousand rows.
            BrinIndex(fields=["event_at"], name="record_event_brin", pages_per_range=32, autosummarize=True),
            # For events in the future, nearly always empty. It lets a filter by the event's time skip older records
            # (`lake.selectors`).
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

    @property
    def last_sender(self) -> int:
        """The last batch that sent it."""
        return self.batch_id if self.resent_by is None else self.resent_by

    @property
    def place(self) -> Place:
        """Where the record is stored as it was sent."""
        return Place(self.batch_id, self.body_offset, self.body_size)


class RecordVersion(models.Model):
    """A version of a record that was replaced by a later one. Most records are written once and have none.

    Written by the upsert (`lake.index`), so without constraints that PostgreSQL would check for every row.
    """

    pk = models.CompositePrimaryKey("record_id", "version")
    record_id = models.UUIDField()
    version = models.PositiveIntegerField()
    batch = models.ForeignKey(
        "ingest.Batch",
        models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
        help_text="The batch that wrote this version.",
    )
    body_offset = models.PositiveIntegerField()
    body_size = models.PositiveIntegerField()
    replaced_by = models.ForeignKey(
        "ingest.Batch", models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    replaced_at = models.DateTimeField()
    digest = models.BinaryField(
        max_length=32, null=True, help_text="The record's digest while this version was the current one."
    )

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["replaced_at"], name="version_by_age"),
            models.Index(Substr("digest", 1, 7), name="version_by_digest_start"),
        ]


class RemovedRecord(models.Model):
    """A removed record, listed for readers that keep a copy of the lake (`lake.removal`)."""

    class Reason(models.TextChoices):
        RETENTION = "retention"
        OPERATOR = "operator"

    pk = models.CompositePrimaryKey("workspace_id", "removed_at", "record_id")
    workspace = models.ForeignKey(
        "ingest.Workspace", models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    removed_at = models.DateTimeField(help_text="An instant of the workspace's clock (`lake.horizon`).")
    record_id = models.UUIDField()
    reason = models.CharField(max_length=16, choices=Reason.choices)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["record_id"], name="removed_by_record"),
            models.Index(fields=["removed_at"], name="removed_by_age"),
        ]


class IndexTransition(models.Model):
    """While there is a row, processes of the previous version may read and write the index (`lake.index_layout`)."""

    ends_at = models.DateTimeField(help_text="When none of them is expected to run any more.")
