"""What the schema must keep free, so that workspaces can be spread over several primaries (evermuse/docs/scale.md).

Each row belongs to one workspace, or to the deployment, and no rule of uniqueness spans two workspaces. Ids are drawn from
64-bit sequences, which each primary can begin elsewhere.
"""

from collections.abc import Iterable

import pytest
from django.apps import apps
from django.db import models

from ingest.models import Workspace

OURS = ("ingest", "lake", "attachments", "problems", "activity")
MODELS = [model for model in apps.get_models() if model._meta.app_label in OURS]

# Tables of the deployment, of which each primary has its own.
OF_DEPLOYMENT = {
    "activity.RollupState": "how far the rollup has come",
    "activity.StaleMinute": "minutes that the rollup counts again",
    "attachments.AllowedEndpoint": "an operator's exception for downloads",
    "attachments.RemovedObject": "objects of the bucket that nothing names any more",
    "attachments.VendorHost": "an operator's pause of a vendor, which holds all workspaces",
    "ingest.RetentionRun": "when retention last ran",
    "lake.DatabaseTimeline": "on which timeline of PostgreSQL this database is",
    "lake.IndexTransition": "until when the previous version may use this database",
    "lake.JournalFill": "how far the journal was filled with old rows",
    "lake.RestoreMark": "what is known about restores of this database",
    "lake.TermSetStart": "when this database may store its first set of terms",
    "problems.Alert": "alerts to the operators",
    "problems.BacklogWatch": "whether the backlog was reported",
}
# Unique without the workspace, because the value itself is unique everywhere.
UNIQUE_EVERYWHERE = {
    "attachments.StoredFile.storage_uri": "the key contains the workspace's name and random bits",
    "attachments.UploadIntent.token": "a random token",
    "ingest.ApiKey.digest": "the hash of a random key; it says which workspace, and so which primary, a request belongs to",
    "ingest.Workspace.name": "the name of a workspace is its place in the bucket, so no two primaries may share a name",
    "lake.Record.id": "a hash over the workspace's id and the record's identity",
    "lake.RecordVersion.record_id": "the same",
    "lake.TermSet.id": "a hash over terms, which are hashes over the workspace's id",
}


def owner_fields(model: type[models.Model], among: Iterable[str] | None = None) -> set[str]:
    """Fields that lead to a workspace, directly or over the row of another table."""
    found = set()
    for field in model._meta.fields:
        target = field.related_model
        if not isinstance(target, type) or target is model or (among is not None and field.name not in among):
            continue
        if target is Workspace or (target in MODELS and not field.null and owner_fields(target)):
            found.add(field.name)
    return found


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_each_table_belongs_to_a_workspace_or_is_listed_as_one_of_the_deployment(model: type[models.Model]) -> None:
    belongs = model is Workspace or bool(owner_fields(model))
    assert belongs is (model._meta.label not in OF_DEPLOYMENT)


def uniques(model: type[models.Model]) -> list[tuple[str, ...]]:
    """The sets of columns that are unique."""
    key = model._meta.pk
    own = [tuple(one.name for one in getattr(key, "fields", ())) or (key.name,)]
    fields = [(field.name,) for field in model._meta.fields if field.unique and not field.primary_key]
    constraints = [
        (*constraint.fields, *(one.deconstruct()[1][0] for one in constraint.expressions if isinstance(one, models.F)))
        for constraint in model._meta.constraints
        if isinstance(constraint, models.UniqueConstraint)
    ]
    return [*own, *fields, *constraints]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_each_unique_rule_holds_within_one_workspace_or_for_a_value_that_is_unique_everywhere(
    model: type[models.Model],
) -> None:
    if model._meta.label in OF_DEPLOYMENT:
        return
    for columns in uniques(model):
        drawn = columns == ("id",) and isinstance(model._meta.pk, models.BigAutoField)
        listed = any(f"{model._meta.label}.{column}" in UNIQUE_EVERYWHERE for column in columns)
        assert drawn or listed or owner_fields(model, columns), f"{model._meta.label} {columns}"


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_ids_that_are_drawn_have_64_bits(model: type[models.Model]) -> None:
    """Each primary draws from a range of its own, for example from a multiple of 10^15 on."""
    assert model._meta.pk.get_internal_type() not in {"AutoField", "SmallAutoField"}


def test_exceptions_name_tables_and_columns_that_exist() -> None:
    labels = {model._meta.label for model in MODELS}
    assert labels >= OF_DEPLOYMENT.keys()
    known = {f"{model._meta.label}.{column}" for model in MODELS for columns in uniques(model) for column in columns}
    assert known >= UNIQUE_EVERYWHERE.keys()
