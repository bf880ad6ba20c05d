"""Removes files, together with their record or by the age of their event. A content is removed with the last file that has it:
first its row, then its object.

Registration and completion lock the row of a content (`StoredFile`) before they point another file to it, and so does removal.
Object keys are never reused, so an object without a row can be deleted at any later time.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from attachments.models import RemovedObject, StoredFile
from attachments.sql import removal as sql
from evermuse import logs
from evermuse.errors import StoreUnavailable
from lake import object_store

log = logs.get(__name__)

# Objects that one request to the store deletes, which is the most that S3 allows; and the time of one round.
MAX_OBJECTS = 1000
ROUND_SECONDS = 5.0
_FIRST = datetime(1, 1, 1, tzinfo=UTC)


def records_at_work(record_ids: Sequence[UUID]) -> set[UUID]:
    """The records among these that have a file which is not settled, or whose attempts left objects to clean up."""
    return {row[0] for row in _rows(sql.RECORDS_AT_WORK, records=list(record_ids))}


def remove_of_records(record_ids: Sequence[UUID]) -> int:
    """Remove all files of these records, of every version, in the caller's transaction. Returns their number."""
    return _remove([row[0] for row in _rows(sql.LOCK_OF_RECORDS, records=list(record_ids))])


def expired(workspace_id: int, before: datetime, *, limit: int) -> Iterator[int]:
    """A workspace's settled files of earlier events, oldest first. ``limit``: the number read at once."""
    at, last = _FIRST, 0
    while page := _rows(sql.EXPIRED, workspace=workspace_id, before=before, after_at=at, after=last, limit=limit):
        yield from (row[1] for row in page)
        at, last = page[-1]


def remove_expired(workspace_id: int, before: datetime, ids: Sequence[int]) -> int:
    """Remove those of the files that are still expired, in the caller's transaction. Returns their number."""
    found = _rows(sql.LOCK_EXPIRED, workspace=workspace_id, before=before, ids=list(ids))
    return _remove([row[0] for row in found])


def _remove(ids: Sequence[int]) -> int:
    if not ids:
        return 0
    files = [row[0] for row in _rows(sql.LOCK_CONTENTS, ids=list(ids))]
    [(count,)] = _rows(sql.DELETE, ids=list(ids))
    with connection.cursor() as cursor:
        cursor.execute(sql.DELETE_CONTENTS, {"files": files})
    return int(count)


def delete_objects() -> int:
    """Delete the objects of removed contents. Returns their number. The next round retries failed deletions."""
    deleted = 0
    ends_at = time.monotonic() + ROUND_SECONDS
    is_whole = False
    while not is_whole and time.monotonic() < ends_at:
        due = RemovedObject.objects.filter(since__lt=timezone.now()).order_by("since")[:MAX_OBJECTS]
        uris = {one.pk: one.storage_uri for one in due}
        is_whole = len(uris) < MAX_OBJECTS
        held = set(StoredFile.objects.filter(storage_uri__in=uris.values()).values_list("storage_uri", flat=True))
        try:
            object_store.remove(object_store.key_of(uri) for uri in uris.values() if uri not in held)
        except StoreUnavailable as error:
            log.warning("attachment.removal_waits", error=str(error)[:200])
            break
        RemovedObject.objects.filter(pk__in=uris).delete()
        deleted += len(uris)
    if deleted:
        log.info("attachment.objects_removed", count=deleted)
    return deleted


def _rows(statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
