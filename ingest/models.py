"""Clients (workspaces, products, projects, keys), batches, and idempotency keys."""

from typing import ClassVar

from django.contrib.postgres.indexes import BrinIndex
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q

from evermuse import public_ids

PERMISSIONS = ("api:read", "api:write", "mcp:read", "mcp:write")
MAX_LIVE_KEYS = 10
MAX_RETENTION_DAYS = 36_500

_label = RegexValidator(r"\A[^\x00-\x1f\x7f/\\]+\Z", "Control characters and slashes are not allowed.")


class Workspace(models.Model):
    """A tenant. All data belongs to exactly one workspace, and a key can reach only its own."""

    name = models.CharField(max_length=64, unique=True, validators=[_label])
    created_at = models.DateTimeField(auto_now_add=True)
    record_retention_days = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(MAX_RETENTION_DAYS)],
        help_text="Records whose event is older are removed, with their files. Empty: they are kept.",
    )  # fmt: skip
    attachment_retention_days = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(MAX_RETENTION_DAYS)],
        help_text="Files of records whose event is older are removed. Empty: they are kept as long as their record.",
    )  # fmt: skip
    legal_hold = models.BooleanField(
        default=False,
        db_default=False,
        help_text="While this is set, nothing of this workspace is removed, whatever its retention says.",
    )

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class Product(models.Model):
    """A product of the customer; records name it by ``product_id`` (`_product_id`)."""

    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="products")
    product_id = models.CharField(max_length=128, validators=[_label])

    class Meta:
        ordering: ClassVar = ["product_id"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["workspace", "product_id"], name="product_once")]

    def __str__(self) -> str:
        return self.product_id


class Project(models.Model):
    """A project of a product; records name it by ``project_id``, which is unique in its workspace."""

    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="projects")
    product = models.ForeignKey(Product, models.CASCADE, related_name="projects")
    project_id = models.CharField(max_length=128, validators=[_label])

    class Meta:
        ordering: ClassVar = ["project_id"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["workspace", "project_id"], name="project_once")]

    def __str__(self) -> str:
        return self.project_id


class ApiKey(models.Model):
    """A key of a workspace. Only the SHA-256 of its text is stored; the text is shown once."""

    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="api_keys")
    label = models.CharField(max_length=64, validators=[_label])
    source = models.CharField(max_length=64, default="api", validators=[_label])
    prefix = models.CharField(max_length=16, help_text="The first characters, to tell keys apart.")
    digest = models.BinaryField(max_length=32, unique=True, help_text="SHA-256 of the key.")
    permissions = models.JSONField(default=list)
    rate_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="Requests per second; empty: the deployment's limit; 0: none."
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["workspace", "label", "id"]
        verbose_name = "API key"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["workspace", "label"], condition=Q(revoked_at__isnull=True), name="live_label_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.workspace}: {self.label} ({self.prefix}…)"


# Batches that failed because every record was rejected are not among them: the inbox counts their records one by one.
_GIVEN_UP_UNCOLLECTED = Q(status="FAILED", failure_code="GIVEN_UP") & (
    Q(collected_token=None) | Q(collected_token__lt=F("claim_token"))
)


class Batch(models.Model):
    """The records of one accepted request, and their progress.

    ``id`` is the acceptance sequence, drawn in the accepting transaction. It orders the versions of a record.

    States, each reached by a conditional UPDATE (`ingest.pipeline.transitions`, `ingest.pipeline.claims`):

        LANDING ─▶ LANDED ─▶ PROCESSING ─▶ COMPLETE
           └─▶ FAILED (no acceptable record, or given up) ─▶ LANDING, if a client or operator asks for a retry

    A worker that lands a batch has a claim: ``claim_token``, which grows with each claim, until ``claimed_until``. A lease
    that ends without a release counts as a crash of its worker.
    """

    class Status(models.TextChoices):
        LANDING = "LANDING"
        LANDED = "LANDED"
        PROCESSING = "PROCESSING"
        COMPLETE = "COMPLETE"
        FAILED = "FAILED"

    # Without constraints in the database: their checks would lock the same two rows in every accepting request. Django
    # protects the workspace from deletion, and keys are revoked instead of deleted.
    workspace = models.ForeignKey(
        Workspace, models.PROTECT, related_name="batches", db_index=False, db_constraint=False
    )
    api_key = models.ForeignKey(
        ApiKey, models.SET_NULL, null=True, related_name="batches", db_index=False, db_constraint=False
    )
    source = models.CharField(max_length=64)
    type = models.CharField(max_length=32)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.LANDING)
    created_at = models.DateTimeField(help_text="When the request was accepted.")
    record_count = models.PositiveIntegerField(help_text="Records sent.")
    accepted_count = models.PositiveIntegerField()
    rejected_count = models.PositiveIntegerField()
    error_count = models.PositiveIntegerField()
    # Text, because PostgreSQL's JSON types can store neither \u0000 nor lone surrogates.
    first_errors = models.TextField(default="[]", help_text="The first 20 errors as JSON.")

    claim_token = models.BigIntegerField(default=0)
    claimed_until = models.DateTimeField(null=True)
    claimed_by = models.CharField(max_length=128, default="", blank=True)
    not_before = models.DateTimeField(null=True, help_text="After a fault: not claimed again before this time.")
    attempts = models.PositiveIntegerField(default=0)
    claimed_alone = models.BooleanField(default=False)
    crashes = models.PositiveIntegerField(
        default=0, help_text="Leases that ended without a release, because the worker died."
    )
    lone_crashes = models.PositiveIntegerField(default=0, help_text="Crashes while it was claimed alone.")
    failure = models.TextField(default="", blank=True, help_text="Why it FAILED or last had to wait, for people.")
    failure_code = models.CharField(
        max_length=64,
        null=True,
        blank=True,
        help_text="The same for programs (`ingest.failure_codes`); empty: no failure.",
    )

    collected_token = models.BigIntegerField(null=True, help_text="The claim whose end the problem inbox counted.")
    landed_at = models.DateTimeField(null=True)
    processing_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        verbose_name_plural = "batches"
        permissions: ClassVar = [
            ("see_payloads", "Can see what customers sent: payloads, data, files"),
            ("operate", "Can act: retry, reprocess, pause, give fresh URLs, settle problems"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["workspace", "-id"], name="batch_by_workspace"),
            # For the list's filters: without them a rare value would cost a scan of all batches of the workspace.
            models.Index(fields=["workspace", "source", "-id"], name="batch_by_source"),
            models.Index(fields=["workspace", "type", "-id"], name="batch_by_type"),
            models.Index(fields=["workspace", "-created_at", "-id"], name="batch_by_time"),
            models.Index(fields=["workspace", "-id"], name="batch_failed_of", condition=Q(status="FAILED")),
            # In the order of claims: by workspace, and in each the oldest first.
            models.Index(fields=["workspace", "id"], name="batch_waiting_of", condition=Q(status="LANDING")),
            models.Index(
                fields=["status", "id"],
                name="batch_unsettled_by_status",
                condition=Q(status__in=["LANDED", "PROCESSING"]),
            ),
            models.Index(fields=["id"], name="batch_given_up", condition=_GIVEN_UP_UNCOLLECTED),
            models.Index(fields=["id"], name="batch_failed", condition=Q(status="FAILED")),
            models.Index(
                fields=["id"], name="batch_given_up_at_all", condition=Q(status="FAILED", failure_code="GIVEN_UP")
            ),
            # Failures that a version without codes wrote. Almost always empty.
            models.Index(fields=["id"], name="batch_without_code", condition=Q(failure_code=None) & ~Q(failure="")),
            # For the counts of a minute. BRIN indexes add no measurable cost to accepting.
            BrinIndex(fields=["created_at"], name="batch_created_brin", pages_per_range=32, autosummarize=True),
            BrinIndex(fields=["landed_at"], name="batch_landed_brin", pages_per_range=32, autosummarize=True),
            BrinIndex(fields=["completed_at"], name="batch_completed_brin", pages_per_range=32, autosummarize=True),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        """The ``batchId`` of the API."""
        return public_ids.of_batch(self.id)


class ProcessorRun(models.Model):
    """The progress of a processor with a batch. Without a row it settled at once, or has not started.

    Until ``next_attempt_at`` the processor is not called for the batch (`ingest.pipeline.processing`).
    """

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="processor_runs", db_index=False, db_constraint=False)
    processor = models.CharField(max_length=64)
    is_prepared = models.BooleanField(default=True, help_text="Whether `prepare` has succeeded for the batch.")
    started_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0, help_text="Attempts in a row that failed.")
    next_attempt_at = models.DateTimeField(null=True)
    error = models.TextField(default="", blank=True, help_text="Why the last attempt failed.")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["batch", "processor"], name="processor_run_once")]
        indexes: ClassVar = [
            models.Index(fields=["batch"], name="processor_run_waiting", condition=Q(next_attempt_at__isnull=False))
        ]

    def __str__(self) -> str:
        return f"{self.processor}: {self.batch_id}"


class IdempotencyKey(models.Model):
    """The stored answer of an Idempotency-Key, for 24 hours."""

    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="+", db_index=False)
    # SHA-256 of the key, because its text may contain \u0000, which PostgreSQL cannot store.
    key = models.BinaryField(max_length=32)
    fingerprint = models.BinaryField(max_length=32, help_text="SHA-256 of media type, query and decompressed body.")
    batch = models.ForeignKey(Batch, models.CASCADE, related_name="+")
    answer = models.TextField(help_text="The 202 body as it was sent.")
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["workspace", "key"], name="idempotency_key_once")]


class RetentionRun(models.Model):
    """The last retention run for one kind of row (`ingest.retention`), for the overview."""

    kind = models.CharField(max_length=64, primary_key=True)
    title = models.CharField(max_length=128)
    days = models.PositiveIntegerField(
        null=True, help_text="For how long it was kept at the last run. Empty: each workspace says for how long."
    )
    ran_at = models.DateTimeField()
    is_whole = models.BooleanField(help_text="Whether the last run removed everything that had expired.")
    removed = models.BigIntegerField(default=0, help_text="All rows removed so far.")
    last_removed = models.BigIntegerField(default=0, help_text="Rows of the last run that removed any.")
    last_removed_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["title"]

    def __str__(self) -> str:
        return self.title
