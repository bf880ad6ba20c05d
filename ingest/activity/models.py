"""Counts of activity. Only `ingest.activity.rollup` writes them, from the pipeline's rows."""

from datetime import UTC, datetime
from typing import ClassVar

from django.db import models

# The time of rows with Resolution.EVER.
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Metric(models.TextChoices):
    """What is counted. Batches and records count in the minute of acceptance, everything else in the minute it happened."""

    BATCHES = "batches", "Batches accepted"
    BATCHES_COMPLETE = "batches_complete", "Batches of these that are COMPLETE"
    BATCHES_FAILED = "batches_failed", "Batches of these that are FAILED"
    RECORDS = "records", "Records sent"
    RECORDS_ACCEPTED = "records_accepted", "Records accepted"
    RECORDS_REJECTED = "records_rejected", "Records rejected"
    REJECTED_REASON = "rejected_reason", "Rejected records by error: 'CODE /pointer'"
    BATCHES_LANDED = "batches_landed", "Batches by the minute in which they landed"
    FILES = "files", "Files complete, by host"
    FILE_BYTES = "file_bytes", "Bytes of those files, by host"
    DOWNLOAD_FAILURES = "download_failures", "Attempts that failed: 'host CODE'"


class Rollup(models.Model):
    """The value of a metric for a workspace in a minute, in an hour, or ever.

    ``ever`` rows only grow, as Prometheus expects of counters. If landing revises a verdict, the figure of the minute
    changes and the counter keeps what it counted.
    """

    class Resolution(models.TextChoices):
        MINUTE = "minute"
        HOUR = "hour"
        EVER = "ever"

    resolution = models.CharField(max_length=6, choices=Resolution.choices)
    at = models.DateTimeField(help_text="Start of the minute or hour.")
    workspace = models.ForeignKey("ingest.Workspace", models.CASCADE, related_name="+", db_index=False)
    metric = models.CharField(max_length=32, choices=Metric.choices)
    label = models.TextField(default="", blank=True)
    value = models.BigIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["resolution", "at", "workspace", "metric", "label"], name="rollup_once")
        ]


class RollupState(models.Model):
    """How far the rollup has got, in one row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    closed_through = models.DateTimeField(help_text="Minutes before this are closed.")
    changes_through = models.DateTimeField(
        help_text="Landings and completions up to this time are counted or noted as stale."
    )
    ran_at = models.DateTimeField()


class StaleMinute(models.Model):
    """A closed minute that must be counted again, because its batches have changed."""

    at = models.DateTimeField(primary_key=True)
