"""The journal's notes, its last number, and how far the backfill is (`lake.journal`)."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now


class JournalEntry(models.Model):
    """A change that is not in the journal yet (`lake.journal`). Deleted when the object with its event is published.

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
    versions = ArrayField(models.IntegerField(), null=True, help_text="The version of each removed record.")
    reason = models.CharField(max_length=64)


class Journal(models.Model):
    """The journal of a workspace: the last number given to an entry, and the claim of the worker that writes.

    ``bound``: the entries with the last numbers, which are not published yet.
    """

    workspace = models.OneToOneField(
        "ingest.Workspace", models.DO_NOTHING, primary_key=True, related_name="+", db_constraint=False
    )
    last_number = models.BigIntegerField()
    bound = ArrayField(models.BigIntegerField())
    claim_token = models.BigIntegerField()
    claimed_until = models.DateTimeField(null=True)


class JournalFill(models.Model):
    """How far the backfill of records that were stored before the journal existed has got. One row."""

    starts_at = models.DateTimeField(help_text="When no process of an earlier version is expected to run any more.")
    after_id = models.UUIDField(help_text="The last record that was noted.")
    ended_at = models.DateTimeField(null=True)
