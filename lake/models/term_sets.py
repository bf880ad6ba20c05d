"""Sets of terms that many records have in common (`lake.term_sets`)."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, IntegerField
from django.db.models.functions import Cast, Now


class TermSet(models.Model):
    """Terms that many records have in common. These records have its number instead (`lake.terms.short`)."""

    id = models.BigIntegerField(primary_key=True, help_text="A hash of the terms.")
    workspace = models.ForeignKey("ingest.Workspace", models.CASCADE, related_name="+", db_constraint=False)
    terms = ArrayField(models.BigIntegerField())
    checked_at = models.DateTimeField(db_default=Now(), help_text="When a record was last known to use it.")

    class Meta:
        indexes = (GinIndex("terms", name="term_set_terms", fastupdate=False),)
        constraints = (
            models.UniqueConstraint(
                F("workspace"), Cast(F("id").bitand(2147483647), IntegerField()), name="term_set_number"
            ),
        )


class TermSetStart(models.Model):
    """When the first set may be stored. A row only where an earlier version has stored records."""

    starts_at = models.DateTimeField(help_text="When no process of an earlier version is expected to run any more.")
