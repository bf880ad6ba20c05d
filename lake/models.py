"""Tables of the lake: payloads, segments, records, rejected records, and the outcome of each record."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex, GinIndex
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now, Substr

from evermuse import public_ids
from lake.frames import Place


class _Body(models.Model):
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


class Payload(_Body):
    """The body of a batch, until retention removes it. The worker lands it, and rows of the index point into it.

    This is a view over the two tables below, for reading.
    """

    # No constraint in the database: one statement inserts both rows, and each check would lock the batch's row again.
    batch = models.OneToOneField(
        "ingest.Batch", models.CASCADE, primary_key=True, related_name="payload", db_constraint=False
    )


class PayloadPart(_Body):
    """Payloads in partitions by batch id. Old payloads are removed by dropping a partition (`ingest.pipeline.partitions`)."""

    batch = models.OneToOneField(
        "ingest.Batch", models.DO_NOTHING, primary_key=True, related_name="+", db_constraint=False
    )


class PayloadKept(_Body):
    """Payloads that outlive their partition: of batches that have not landed, were given up, or are under a legal hold."""

    batch = models.OneToOneField(
        "ingest.Batch", models.DO_NOTHING, primary_key=True, related_name="+", db_constraint=False
    )


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
    dead_count = models.PositiveIntegerField(default=0, db_default=0, help_text="Lines whose record was removed.")
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
    has the record.
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


class Record(models.Model):
    """The current version of a record. ``id`` is its identity (`lake.identity`), so a record that is sent again is
    recognised.

    ``sequence`` is the last batch that sent it. It grows even if nothing changed, because an identical record still
    counts as the last one sent. A batch with a smaller number may not overwrite the row.
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
    sequence = models.BigIntegerField(help_text="The last batch that sent it, whether or not it changed anything.")
    version = models.PositiveIntegerField()
    type = models.CharField(max_length=32)
    product_id = models.TextField()
    event_at = models.DateTimeField()
    first_accepted_at = models.DateTimeField()
    updated_at = models.DateTimeField(help_text="The instant of the landing that wrote this version (`lake.horizon`).")
    # Filters search for these hashes of "name=value" (`lake.terms`). A text column could not hold every string of a
    # client.
    terms = ArrayField(models.BigIntegerField())
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
            # thousand, when it reads them: without ids this index takes 7 bytes a record in place of 50.
            models.Index(fields=["workspace", "updated_at"], name="record_by_instant"),
            # Every filter reads the entries that wait in the list, and the index keeps the pages of a list that was long.
            GinIndex("terms", name="record_terms", gin_pending_list_limit=512),
            # With its length, seven bytes take what the smallest entry of a B-tree has room for.
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
    def place(self) -> Place:
        """Where the record is stored as it was sent."""
        return Place(self.batch_id, self.body_offset, self.body_size)


class ChangeClock(models.Model):
    """The last instant that a workspace's landings drew (`lake.horizon`)."""

    workspace = models.OneToOneField(
        "ingest.Workspace", models.CASCADE, primary_key=True, related_name="+", db_constraint=False
    )
    at = models.DateTimeField()
    claimed = models.IntegerField(
        default=0, db_default=0, help_text="The number of batches in the claim that drew the instant."
    )


class OpenLanding(models.Model):
    """A landing that may still commit rows with ``updated_at = at`` (`lake.horizon`). Lists end before it.

    The table has few rows. Readers find theirs by the primary key.
    """

    pk = models.CompositePrimaryKey("workspace_id", "at")
    workspace = models.ForeignKey(
        "ingest.Workspace", models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    at = models.DateTimeField()
    batch_ids = ArrayField(
        models.BigIntegerField(), help_text="Its batches that have neither landed nor been released yet."
    )


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
        return f"{self.batch_id}[{self.index}]"


class BatchOutcomes(models.Model):
    """The outcome of each record of a batch, in one row: a letter for each record, and the 16 bytes of its identity.

    Letters: c(reated) u(pdated) i(dentical) s(uperseded) r(ejected). Rejected records have 16 zero bytes.
    """

    batch = models.OneToOneField("ingest.Batch", models.CASCADE, primary_key=True, related_name="outcomes")
    letters = models.TextField()
    record_ids = models.BinaryField()


class JournalEntry(models.Model):
    """Something that the journal still has to tell of (`lake.journal`). Deleted once the journal's object is published.

    ``id`` is drawn from a sequence when the row is inserted. ``noted_at`` is the instant at which the transaction began.
    """

    class Kind(models.TextChoices):
        LANDED = "L"
        GIVEN_UP = "G"
        MOVED = "M"
        CHANGED = "C"
        REMOVED = "R"
        VERSIONS_REMOVED = "V"

    pk = models.CompositePrimaryKey("workspace_id", "id")
    workspace = models.ForeignKey(
        "ingest.Workspace", models.DO_NOTHING, related_name="+", db_index=False, db_constraint=False
    )
    id = models.BigIntegerField()
    kind = models.CharField(max_length=1, choices=Kind.choices)
    noted_at = models.DateTimeField(db_default=Now())
    at = models.DateTimeField(null=True, help_text="The instant of the landing or removal (`lake.horizon`).")
    batch_ids = ArrayField(models.BigIntegerField(), null=True)
    record_ids = ArrayField(models.UUIDField(), null=True)
    versions = ArrayField(models.IntegerField(), null=True, help_text="Of each record, the version that went.")
    reason = models.CharField(max_length=64)


class Journal(models.Model):
    """The journal of a workspace: the last number given to an entry, and the claim of the worker that writes.

    ``bound``: the entries that have the last numbers and are not published yet.
    """

    workspace = models.OneToOneField(
        "ingest.Workspace", models.DO_NOTHING, primary_key=True, related_name="+", db_constraint=False
    )
    last_number = models.BigIntegerField()
    bound = ArrayField(models.BigIntegerField())
    claim_token = models.BigIntegerField()
    claimed_until = models.DateTimeField(null=True)


class JournalFill(models.Model):
    """How far the records that were stored before there was a journal have been noted. One row."""

    starts_at = models.DateTimeField(help_text="When no process of an earlier version is expected to run any more.")
    after_id = models.UUIDField(help_text="The last record that was noted.")
    ended_at = models.DateTimeField(null=True)
