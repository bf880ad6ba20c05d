"""How far the database has got, for comparison with the bucket (`lake.restore`)."""

from django.db import models


class RestoreMark(models.Model):
    """How far this database has got, for comparison with the bucket after a restore (`lake.restore.marks`). One row."""

    database = models.UUIDField(help_text="Made once. A restored database keeps it.")
    tick = models.BigIntegerField(help_text="Counts the marks.")
    noted_at = models.DateTimeField(help_text="When the last mark was counted.")
    drawn = models.JSONField(help_text="The last value of each sequence that the bucket's mark names.")
    set_back_at = models.DateTimeField(
        null=True, help_text="When the bucket was found ahead of this database. Empty once it was checked."
    )
    found = models.JSONField(default=dict, help_text="The bucket's mark when it was found ahead.")
    before = models.JSONField(default=dict, help_text="The last value of each sequence before it leapt.")
    moved = models.JSONField(default=dict, help_text="Where the last leap of each sequence ended.")
    missing = models.JSONField(default=list, help_text="Ranges of batch ids that the last check did not find.")
    leaps = models.JSONField(
        default=dict, help_text="By sequence, the ranges that leaps have skipped: nobody was given these ids."
    )


class DatabaseTimeline(models.Model):
    """PostgreSQL's timeline, to recognise that a standby was promoted (`lake.restore.promotion`). One row."""

    timeline = models.BigIntegerField(help_text="The last timeline on which this database was used.")
    promoted_at = models.DateTimeField(
        null=True, help_text="When a new timeline was found. Empty once the bucket was compared with it."
    )
    before = models.JSONField(default=dict, help_text="The last value of each sequence before it leapt.")
    moved = models.JSONField(default=dict, help_text="Where each sequence continues.")
