"""Reads of batches, always within one workspace."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import F, Func, IntegerField, Q, QuerySet

from evermuse import public_ids
from ingest.models import Batch
from ingest.refusals import not_found

# A batch as JSON, without its errors.
ROW_BYTES = 512
# Sizes in bytes. PostgreSQL knows them without reading values that it stores out of line.
ERRORS_SIZE = Func(F("first_errors"), function="octet_length", output_field=IntegerField())


def batch(workspace_id: int, public_id: str) -> Batch:
    """The batch with this id. Raises 404 if the workspace has no such batch."""
    number = public_ids.batch_number(public_id)
    found = Batch.objects.filter(workspace_id=workspace_id, id=number).first() if number else None
    if found is None:
        raise not_found("There is no such batch in this workspace.")
    return found


def page(
    workspace_id: int,
    *,
    after: Sequence[Any] | None,
    limit: int,
    status: str | None = None,
    type: str | None = None,
    source: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    max_bytes: int,
) -> tuple[Sequence[Batch], list[Any] | None]:
    """A page of batches, newest first, and the place where the next page begins.

        ``max_bytes``: about the most that the page takes as JSON, for which it may hold fewer rows than ``limit``.

    Newest is by sequence, or by the time of creation where that is asked for: a range of an index, not a walk to it.
    """
    rows: QuerySet[Batch] = Batch.objects.filter(workspace_id=workspace_id)
    if status:
        rows = rows.filter(status=status)
    if type:
        rows = rows.filter(type=type)
    if source:
        rows = rows.filter(source=source)
    if since or until:
        rows = _by_time(rows, since, until, after)
    else:
        rows = rows.order_by("-id") if after is None else rows.filter(id__lt=after[0]).order_by("-id")
    found = list(rows.annotate(errors_size=ERRORS_SIZE).defer("first_errors")[: limit + 1])
    shown = _within_bytes(found[:limit], max_bytes)
    if len(found) == len(shown):
        return shown, None
    end = shown[-1]
    return shown, [end.created_at.isoformat(), end.id] if since or until else [end.id]


def _within_bytes(found: Sequence[Any], max_bytes: int) -> list[Batch]:
    """The first of these batches, with the errors that they show: as many as a page may hold, one at least."""
    size = 0
    shown: list[Any] = []
    for batch in found:
        size += ROW_BYTES + batch.errors_size
        if shown and size > max_bytes:
            break
        shown.append(batch)
    with_errors = [batch.id for batch in shown if batch.errors_size > len("[]")]
    errors = Batch.objects.filter(id__in=with_errors).values_list("id", "first_errors") if with_errors else []
    first_errors = dict(errors)
    for batch in shown:
        batch.first_errors = first_errors.get(batch.id, "[]")
    return shown


def _by_time(
    rows: QuerySet[Batch], since: datetime | None, until: datetime | None, after: Sequence[Any] | None
) -> QuerySet[Batch]:
    if since:
        rows = rows.filter(created_at__gte=since)
    if until:
        rows = rows.filter(created_at__lt=until)
    if after is not None:
        instant = datetime.fromisoformat(after[0])
        rows = rows.filter(created_at__lte=instant).filter(Q(created_at__lt=instant) | Q(id__lt=after[1]))
    return rows.order_by("-created_at", "-id")
