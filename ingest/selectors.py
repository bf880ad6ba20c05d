"""Reads of batches, always within one workspace."""

from collections.abc import Sequence
from datetime import datetime

from django.db.models import QuerySet

from evermuse import public_ids
from ingest.models import Batch
from ingest.refusals import not_found


def batch(workspace_id: int, public_id: str) -> Batch:
    """The batch of an id; 404 when there is none, or it is another workspace's."""
    number = public_ids.batch_number(public_id)
    found = Batch.objects.filter(workspace_id=workspace_id, id=number).first() if number else None
    if found is None:
        raise not_found("There is no such batch in this workspace.")
    return found


def page(
    workspace_id: int,
    *,
    before: int | None,
    limit: int,
    status: str | None = None,
    type: str | None = None,
    source: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> tuple[Sequence[Batch], int | None]:
    """Batches newest first, by their sequence; the second value is where the next page begins."""
    rows: QuerySet[Batch] = Batch.objects.filter(workspace_id=workspace_id).order_by("-id")
    if before is not None:
        rows = rows.filter(id__lt=before)
    if status:
        rows = rows.filter(status=status)
    if type:
        rows = rows.filter(type=type)
    if source:
        rows = rows.filter(source=source)
    if since:
        rows = rows.filter(created_at__gte=since)
    if until:
        rows = rows.filter(created_at__lt=until)
    found = list(rows[: limit + 1])
    return found[:limit], found[limit - 1].id if len(found) > limit else None
