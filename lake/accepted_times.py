"""When records were first accepted. A row notes it only if another batch than that of its version accepted it first."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from lake.models import Record


def of_batches(batch_ids: Collection[int]) -> dict[int, datetime]:
    """When these batches were accepted."""
    # Batches belong to a layer above this one.
    batches: Any = Record._meta.get_field("batch").related_model
    return dict(batches.objects.filter(pk__in=batch_ids).values_list("pk", "created_at"))


def of_records(records: Iterable[Record]) -> dict[int, datetime]:
    """When the batches were accepted whose records do not note it themselves."""
    unknown = {record.batch_id for record in records if record.first_accepted_at is None}
    return of_batches(unknown) if unknown else {}
