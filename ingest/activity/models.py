"""Counted activity. Written by `ingest.activity.rollup` alone; everything here can be counted anew from the pipeline's rows."""

from datetime import UTC, datetime
from typing import ClassVar

from django.db import models

# Where the rows of Resolution.EVER stand.
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Metric(models.TextChoices):
    """What is counted. Batches and their records belong to the minute of acceptance, the others to their own."""

    BATCHES = "batches", "Batches accepted"
    BATCHES_COMPLETE = "batches_complete", "Those of them that are COMPLETE"
    BATCHES_FAILED = "batches_failed", "Those of them that are FAILED"
    RECORDS = "records", "Records sent"
    RECORDS_ACCEPTED = "records_accepted", "Records accepted"
    RECORDS_REJECTED = "records_rejected", "Records rejected"
    REJECTED_REASON = "rejected_reason", "Rejected records by error: 'CODE /pointer'"
    BATCHES_LANDED = "batches_landed", "Batches by the minute in which they landed"
    FILES = "files", "Files complete, by host"
    FILE_BYTES = "file_bytes", "Bytes of those files, by host"
    DOWNLOAD_FAILURES = "download_failures", "Attempts that failed: 'host CODE'"


class Rollup(models.Model):
    """How much of a metric a workspace had in a minute, in an hour, or ever.

    ``ever`` rows only grow, as counters must: a verdict that landing revises moves a minute's figure, not the counter's
    past.
    """

    class Resolution(models.TextChoices):
        MINUTE = "minute"
        HOUR = "hour"
        EVER = "ever"

    resolution = models.CharField(max_length=6, choices=Resolution.choices)
    at = models.DateTimeField(help_text="When the minute or hour begins.")
    workspace = models.ForeignKey("ingest.Workspace", models.CASCADE, related_name="+", db_index=False)
    metric = models.CharField(max_length=32, choices=Metric.choices)
    label = models.TextField(default="", blank=True)
    value = models.BigIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["resolution", "at", "workspace", "metric", "label"], name="rollup_once")
        ]


class RollupState(models.Model):
    """How far counting has come: one row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    closed_through = models.DateTimeField(
        help_text="Everything before is counted; what changes in it later is noticed."
    )
    changes_through = models.DateTimeField(help_text="Landings and completions up to here have been noticed.")
    ran_at = models.DateTimeField()


class StaleMinute(models.Model):
    """A closed minute of which batches have changed since: to be counted again."""

    at = models.DateTimeField(primary_key=True)
