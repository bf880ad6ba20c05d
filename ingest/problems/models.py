"""Groups of failures with their counts by hour and their batches, jobs that retry a group, and alerts."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from ingest.activity.pointers import without_client_names


class Problem(models.Model):
    """A group of failures of one kind: the same code, field and client or vendor host.

    States: OPEN ─▶ RESOLVED ─▶ OPEN (seen again, with a new alert), OPEN ⇄ MUTED (counted without alerts). Groups of the kinds
    in `MEASURED` are measured: ``count`` is the number that waits now, and the group becomes RESOLVED when that is 0.
    """

    class Kind(models.TextChoices):
        RECORDS = "RECORDS", "Rejected records"
        FILES = "FILES", "Failed attachments"
        BATCHES = "BATCHES", "Batches given up"
        WAITING_BATCHES = "WAITING_BATCHES", "Batches that are stuck"
        WAITING_FILES = "WAITING_FILES", "Attachments that are stuck"
        PROCESSORS = "PROCESSORS", "Processors that keep failing"

    class State(models.TextChoices):
        OPEN = "OPEN", "open"
        MUTED = "MUTED", "muted"
        RESOLVED = "RESOLVED", "resolved"

    kind = models.CharField(max_length=16, choices=Kind.choices)
    code = models.CharField(max_length=64)
    field = models.CharField(max_length=256, default="", blank=True, help_text="JSON pointer; indexes in lists are *.")
    workspace = models.ForeignKey("ingest.Workspace", models.CASCADE, related_name="+", db_index=False)
    party = models.CharField(
        max_length=256, default="", blank=True, help_text="Source label of the key, vendor host, or processor."
    )

    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    count = models.BigIntegerField(default=0)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    opened_at = models.DateTimeField(help_text="When it was first seen, or seen again after it was resolved.")
    is_alert_due = models.BooleanField(default=False)

    sample_message = models.TextField(default="", blank=True)
    # Plain numbers: a foreign key would lock the batch's row, which a landing may hold.
    sample_batch = models.BigIntegerField(null=True)
    sample_index = models.PositiveIntegerField(null=True, help_text="Index of the record in its batch.")
    sample_attachment = models.BigIntegerField(null=True)

    class Meta:
        ordering: ClassVar = ["-last_seen_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["kind", "workspace", "party", "code", "field"], name="problem_once")
        ]
        indexes: ClassVar = [
            models.Index(fields=["state", "-last_seen_at", "-id"], name="problem_by_state"),
            models.Index(fields=["id"], name="problem_to_alert", condition=Q(is_alert_due=True)),
        ]

    def __str__(self) -> str:
        # Shown in titles and the audit log to every role, so it omits names that a client chose.
        field = without_client_names(self.field) if self.kind == self.Kind.RECORDS else self.field
        return " · ".join(part for part in (self.code, field, self.party) if part)

    @property
    def is_measured(self) -> bool:
        """Whether ``count`` is the number that waits now, and not the number of all failures."""
        return self.kind in MEASURED


MEASURED = (Problem.Kind.WAITING_BATCHES, Problem.Kind.WAITING_FILES, Problem.Kind.PROCESSORS)


class ProblemHour(models.Model):
    """Failures of a group in an hour. For a measured group, the most that waited at one time."""

    problem = models.ForeignKey(Problem, models.CASCADE, related_name="hours", db_index=False)
    hour = models.DateTimeField()
    count = models.BigIntegerField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["problem", "hour"], name="problem_hour_once")]
        indexes: ClassVar = [models.Index(fields=["hour"], name="problem_hour_by_age")]


class ProblemBatch(models.Model):
    """A batch with failures of a group, and how many."""

    problem = models.ForeignKey(Problem, models.CASCADE, related_name="batches", db_index=False)
    # Without a constraint in the database: its check would lock the batch's row, which a landing may need.
    batch = models.ForeignKey("ingest.Batch", models.CASCADE, related_name="+", db_index=False, db_constraint=False)
    count = models.BigIntegerField()
    last_seen_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["problem", "batch"], name="problem_batch_once")]
        indexes: ClassVar = [models.Index(fields=["last_seen_at"], name="problem_batch_by_age")]


class Job(models.Model):
    """Work on a whole group in the background, slice by slice.

    QUEUED ─▶ RUNNING ─▶ DONE, or FAILED after too many faults. A slice and its progress are one transaction under a
    claim (``claim_token`` until ``claimed_until``). So a killed worker neither loses nor repeats a slice, and the next
    claim continues at ``cursor``.
    """

    class State(models.TextChoices):
        QUEUED = "QUEUED", "queued"
        RUNNING = "RUNNING", "running"
        DONE = "DONE", "done"
        FAILED = "FAILED", "failed"

    class Kind(models.TextChoices):
        RETRY = "RETRY", "Retry all in a group"

    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.RETRY)
    problem = models.ForeignKey(Problem, models.CASCADE, related_name="jobs")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    state = models.CharField(max_length=8, choices=State.choices, default=State.QUEUED)
    total = models.BigIntegerField(null=True, help_text="Counted when the job starts.")
    done = models.BigIntegerField(default=0, help_text="Retried.")
    skipped = models.BigIntegerField(default=0)
    reasons = models.JSONField(default=dict, help_text="Why skipped, and how many.")
    error = models.TextField(default="", blank=True)
    step = models.PositiveSmallIntegerField(default=0)
    cursor = models.BigIntegerField(default=0, help_text="The last id of this step that was handled.")
    until = models.BigIntegerField(null=True, help_text="The greatest id: what fails later does not belong to the job.")
    claim_token = models.BigIntegerField(default=0)
    claimed_until = models.DateTimeField(null=True)
    faults = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["problem"], condition=Q(state__in=["QUEUED", "RUNNING"]), name="one_job_at_a_time"
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["id"], name="job_waiting", condition=Q(state__in=["QUEUED", "RUNNING"]))
        ]

    def __str__(self) -> str:
        return f"Job {self.pk}: {self.get_kind_display()}"

    @property
    def is_finished(self) -> bool:
        """Whether the job is DONE or FAILED."""
        return self.state in (self.State.DONE, self.State.FAILED)

    @property
    def percent(self) -> int:
        """Progress from 0 to 100."""
        if self.state == self.State.DONE:
            return 100
        return min(99, 100 * (self.done + self.skipped) // self.total) if self.total else 0


class Alert(models.Model):
    """A message for one channel. Written in the transaction that causes it, sent later, at least once."""

    class Channel(models.TextChoices):
        WEBHOOK = "WEBHOOK", "webhook"
        EMAIL = "EMAIL", "e-mail"

    class Event(models.TextChoices):
        PROBLEMS = "PROBLEMS", "new problems"
        BACKLOG = "BACKLOG", "backlog"
        RECOVERED = "RECOVERED", "backlog recovered"
        TEST = "TEST", "test"

    channel = models.CharField(max_length=8, choices=Channel.choices)
    event = models.CharField(max_length=16, choices=Event.choices)
    body = models.JSONField()
    created_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, help_text="Empty: sent or given up.")
    sent_at = models.DateTimeField(null=True)
    last_error = models.TextField(default="", blank=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["next_attempt_at"], name="alert_to_send", condition=Q(next_attempt_at__isnull=False))
        ]

    def __str__(self) -> str:
        return f"Alert {self.pk}: {self.get_event_display()} by {self.get_channel_display()}"


class BacklogWatch(models.Model):
    """The state of one backlog: since when it has been too old, and whether an alert said so."""

    name = models.CharField(max_length=16, primary_key=True)
    over_since = models.DateTimeField(null=True)
    told_at = models.DateTimeField(null=True)
