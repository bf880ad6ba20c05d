"""The collector: counts every failure once, in its group. The pipeline does not wait for it.

A row that failed has a mark until it is counted, and a partial index contains only marked rows. A slice of rows is
unmarked and its groups are written in one transaction. If a batch lands again, its rejected records count again.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from attachments.queue import groups
from evermuse import logs
from ingest import failure_codes
from ingest.activity import pointers
from ingest.problems import sightings, sql
from ingest.problems.models import Problem
from ingest.problems.sightings import Key, Sighting

log = logs.get(__name__)

SLICE = 2000
# A round ends after this many slices of each kind, so that other maintenance can run.
MAX_SLICES = 10
MAX_MESSAGE = 500
MAX_PARTY = 256
GIVEN_UP, BATCH_STUCK, ATTACHMENT_STUCK = "BATCH_GIVEN_UP", "BATCH_STUCK", "ATTACHMENT_STUCK"
PROCESSOR_FAILS = "PROCESSOR_FAILS"

Kind = Problem.Kind


def collect() -> int:
    """Count the failures since the last round. Returns the number of rows."""
    taken = 0
    sources: list[tuple[str, Callable[[list[tuple[Any, ...]]], Iterable[Sighting]], bool]] = [
        (sql.TAKE_REJECTED, _rejected, True),
        (sql.TAKE_FILES, _files, False),
        (sql.TAKE_BATCHES, _batches, True),
    ]
    for statement, read, with_batches in sources:
        for _ in range(MAX_SLICES):
            rows = collect_slice(statement, read, with_batches=with_batches)
            taken += rows
            if rows < SLICE:
                break
    if taken:
        log.info("problems.collected", failures=taken)
    return taken


def collect_slice(
    statement: str, read: Callable[[list[tuple[Any, ...]]], Iterable[Sighting]], *, with_batches: bool
) -> int:
    """Unmark and count one slice in one transaction. Returns the number of rows."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(statement, [SLICE])
            rows = cursor.fetchall()
        if rows:
            sightings.count(list(read(rows)), with_batches=with_batches)
    return len(rows)


def measure() -> None:
    """Measure what is stuck now, processors that keep failing included. A group is resolved when nothing waits in it."""
    limits = {"stuck": settings.EVERMUSE_PROBLEM_STUCK_SECONDS}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.MEASURE_LOCK)
        if not cursor.fetchone()[0]:
            return
        now = timezone.now()
        found: list[Sighting] = []
        cursor.execute(sql.STANDING_BATCHES, limits)
        for workspace, source, code, count, since, batch, message in cursor.fetchall():
            key = Key(Kind.WAITING_BATCHES, workspace, source[:MAX_PARTY], BATCH_STUCK, failure_codes.in_words(code))
            found.append(Sighting(key, now, message, batch, count=count, first_at=since))
        cursor.execute(sql.FAILING_PROCESSORS)
        for workspace, processor, error_class, count, since, batch, message in cursor.fetchall():
            key = Key(Kind.PROCESSORS, workspace, processor, PROCESSOR_FAILS, error_class)
            found.append(Sighting(key, now, message, batch, count=count, first_at=since))
        for files in groups.standing(limits["stuck"]):
            key = Key(Kind.WAITING_FILES, files.workspace_id, files.host[:MAX_PARTY], ATTACHMENT_STUCK, "")
            found.append(
                Sighting(
                    key,
                    now,
                    files.reason,
                    files.batch_id,
                    attachment_id=files.attachment_id,
                    count=files.count,
                    first_at=files.since,
                )
            )
        sightings.measure(found)


def _rejected(rows: list[tuple[Any, ...]]) -> Iterable[Sighting]:
    """Sightings of rejected records. A record counts once in each group that it belongs to."""
    for batch_id, index, errors, workspace_id, source, at in rows:
        seen: set[Key] = set()
        for error in json.loads(errors):
            field = pointers.generalise(error["pointer"])
            key = Key(Kind.RECORDS, workspace_id, source[:MAX_PARTY], error["code"][:64], field)
            if key not in seen:
                seen.add(key)
                yield Sighting(key, at, _text(error["message"]), batch_id, index)


def _files(rows: list[tuple[Any, ...]]) -> Iterable[Sighting]:
    for attachment_id, batch_id, index, code, message, host, workspace_id, at in rows:
        key = Key(Kind.FILES, workspace_id, host[:MAX_PARTY], code, "")
        yield Sighting(key, at, _text(message), batch_id, index, attachment_id)


def _batches(rows: list[tuple[Any, ...]]) -> Iterable[Sighting]:
    for batch_id, failure, source, workspace_id, at in rows:
        yield Sighting(Key(Kind.BATCHES, workspace_id, source[:MAX_PARTY], GIVEN_UP, ""), at, _text(failure), batch_id)


def _text(message: str) -> str:
    return pointers.storable(message)[:MAX_MESSAGE]
