"""Files that records name, their attempts, and the counters of each batch."""

from typing import ClassVar

from django.contrib.postgres.indexes import BrinIndex, HashIndex
from django.db import models
from django.db.models import F, Q

from evermuse import public_ids

# A failure is identified by its claim: each new claim has a greater token.
_UNCOLLECTED = Q(state="FAILED") & (Q(collected_token=None) | Q(collected_token__lt=F("claim_token")))


class Attachment(models.Model):
    """A file to be downloaded for a record of a batch.

    States, each reached by a conditional UPDATE (`attachments.sql`):

        PENDING ─▶ IN_PROGRESS ─▶ COMPLETE
           ▲            ├─▶ PENDING (a transient failure: next attempt at ``next_attempt_at``)
           │            └─▶ FAILED (a final failure)
           └───── a retry or a fresh URL

    A worker that downloads a file holds a claim: the fence ``claim_token``, which grows with each claim, and a lease
    until ``claimed_until``, which the worker renews. The sweeper makes a file PENDING again when its lease has run out.
    """

    class State(models.TextChoices):
        PENDING = "PENDING"
        IN_PROGRESS = "IN_PROGRESS"
        COMPLETE = "COMPLETE"
        FAILED = "FAILED"

    workspace = models.ForeignKey("ingest.Workspace", models.PROTECT, related_name="+", db_index=False)
    batch = models.ForeignKey("ingest.Batch", models.CASCADE, related_name="attachments", db_index=False)
    record_id = models.UUIDField()
    event_at = models.DateTimeField(null=True, help_text="The time of the record's event, which retention uses.")
    record_index = models.PositiveIntegerField()
    position = models.PositiveSmallIntegerField(help_text="Its place among the record's attachments.")

    type = models.CharField(max_length=16)
    filename = models.TextField(default="", blank=True)
    vendor_url = models.TextField(default="", blank=True)
    upload_intent_id = models.TextField(default="", blank=True)
    declared_mime_type = models.TextField(default="", blank=True)
    declared_size = models.BigIntegerField(null=True)
    declared_sha1 = models.TextField(default="", blank=True)
    declared_md5 = models.TextField(default="", blank=True)
    host = models.TextField(default="", blank=True, help_text="Host and port of the vendor's URL.")
    origin = models.BinaryField(max_length=16, help_text="Hash of record, URL and declared checksums.")

    state = models.CharField(max_length=11, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0, help_text="Attempts since the last retry.")
    crashes = models.PositiveIntegerField(default=0, help_text="Claims during which the worker died.")
    lone_crashes = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Claims during which the worker died while it had no other file."
    )
    window_began_at = models.DateTimeField(null=True, help_text="When the first of these attempts began.")
    next_attempt_at = models.DateTimeField(null=True)
    claim_token = models.BigIntegerField(default=0)
    claimed_until = models.DateTimeField(null=True)
    claimed_by = models.CharField(max_length=128, default="", blank=True)
    kept_token = models.BigIntegerField(null=True, help_text="The attempt whose parts a worker keeps, to resume it.")
    kept_until = models.DateTimeField(null=True, help_text="Until when the parts are kept. The worker renews it.")
    error_code = models.CharField(max_length=64, default="", blank=True)
    error_message = models.TextField(default="", blank=True)
    collected_token = models.BigIntegerField(null=True, help_text="The claim whose failure the problem inbox counted.")

    size = models.BigIntegerField(null=True)
    mime_type = models.TextField(default="", blank=True)
    sha256 = models.CharField(max_length=64, default="", blank=True)
    sha1 = models.CharField(max_length=40, default="", blank=True)
    md5 = models.CharField(max_length=32, default="", blank=True)
    storage_uri = models.TextField(default="", blank=True)
    created_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["batch", "record_index", "position"], name="attachment_once")
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["workspace", "host", "next_attempt_at", "id"],
                name="attachment_in_lane",
                condition=Q(state="PENDING"),
            ),
            models.Index(
                fields=["next_attempt_at"], name="attachment_suspect", condition=Q(state="PENDING", crashes__gt=0)
            ),
            models.Index(fields=["host", "claimed_until"], name="attachment_claimed", condition=Q(state="IN_PROGRESS")),
            models.Index(fields=["workspace", "origin"], name="attachment_by_origin", condition=Q(state="COMPLETE")),
            # Only failing files write to it, so storing a file does not pay for it.
            models.Index(
                fields=["host", "error_code", "workspace", "id"], name="attachment_failed", condition=Q(state="FAILED")
            ),
            models.Index(fields=["id"], name="attachment_to_collect", condition=_UNCOLLECTED),
            # Retention: a record's files, files by the age of their event, and who else holds a content.
            models.Index(fields=["record_id"], name="attachment_by_record"),
            models.Index(fields=["workspace", "event_at", "id"], name="attachment_by_event"),
            HashIndex(fields=["sha256"], name="attachment_by_content", condition=Q(state="COMPLETE")),
            BrinIndex(
                fields=["completed_at"], name="attachment_completed_brin", pages_per_range=32, autosummarize=True
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        """The ``attachmentId`` of the API."""
        return public_ids.of_attachment(self.id)


class DownloadAttempt(models.Model):
    """One attempt to download an attachment. ``finished_at`` is empty while a worker is busy with it."""

    attachment = models.ForeignKey(Attachment, models.CASCADE, related_name="download_attempts", db_index=False)
    token = models.BigIntegerField(help_text="The token of its claim.")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    http_status = models.PositiveSmallIntegerField(null=True)
    bytes = models.BigIntegerField(default=0)
    code = models.CharField(max_length=64, default="IN_PROGRESS")
    message = models.TextField(default="", blank=True)
    leftovers = models.BooleanField(default=False, help_text="Objects of it may be left in the object store.")

    class Meta:
        ordering: ClassVar = ["attachment", "token"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["attachment", "token"], name="attempt_once")]
        indexes: ClassVar = [
            models.Index(fields=["id"], name="attempt_leftovers", condition=Q(leftovers=True)),
            BrinIndex(fields=["finished_at"], name="attempt_finished_brin", pages_per_range=32, autosummarize=True),
        ]


class AttachmentTally(models.Model):
    """The counters of a batch. They change in the transaction that changes the attachment."""

    batch = models.OneToOneField("ingest.Batch", models.CASCADE, primary_key=True, related_name="attachment_tally")
    total = models.PositiveIntegerField()
    complete = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    has_begun = models.BooleanField(default=False)
    ledger_expired = models.BooleanField(
        default=False, db_default=False, help_text="Retention has removed the attempts (`attachments.retention`)."
    )

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["batch"], name="tally_with_ledger", condition=Q(ledger_expired=False))
        ]

    @property
    def is_settled(self) -> bool:
        """Whether every file is COMPLETE or FAILED."""
        return self.complete + self.failed >= self.total

    @property
    def status(self) -> str:
        """The ``attachmentDownloadStatus`` of the API."""
        if not self.is_settled:
            return "IN_PROGRESS" if self.has_begun or self.complete or self.failed else "PENDING"
        if self.failed == 0:
            return "COMPLETE"
        return "PARTIAL_FAILURE" if self.complete else "FAILED"
