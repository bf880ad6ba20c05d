"""The clock of a workspace's changes, and the landings that are not committed yet (`lake.horizon`)."""

from django.contrib.postgres.fields import ArrayField
from django.db import models


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
