"""Celery tasks of the landing and maintenance queues. Each is idempotent and calls one service."""

import sys
from typing import Any

from celery import shared_task
from celery.signals import worker_init

from ingest import retention
from ingest.pipeline import compaction, journal, processing, sweeper
from ingest.pipeline import landing as pipeline
from lake import index_layout, processors, term_sets
from lake.restore import marks
from lake.segments import sweeper as segment_sweeper


@shared_task(name="ingest.land_batches")
def land_batches(batch_ids: list[int] | None = None, **_: Any) -> None:
    """A wake-up: land all waiting batches, named or not."""
    pipeline.land_waiting()
    journal.keep_up()


@shared_task(name="ingest.advance_batches")
def advance_batches(batch_ids: list[int], **_: Any) -> None:
    """A processor has settled part of these batches: complete those that are done."""
    processing.advance(batch_ids)


@shared_task(name="ingest.sweep")
def sweep(**_: Any) -> None:
    """Continue batches that are stuck. Drop the old columns of the index once no process of the previous version runs."""
    sweeper.sweep()
    index_layout.complete()


@shared_task(name="ingest.remove_expired")
def remove_expired(**_: Any) -> None:
    """Remove rows whose retention has ended, and then terms that only they had."""
    if marks.may_change_bucket():
        retention.remove_expired()
        term_sets.remove_unused()


@shared_task(name="ingest.sweep_segments")
def sweep_segments(**_: Any) -> None:
    """Delete objects that were never published or have been replaced."""
    if marks.may_change_bucket():
        segment_sweeper.sweep()


@shared_task(name="ingest.compact_segments")
def compact_segments(**_: Any) -> None:
    """Merge small segments of dates that are closed."""
    if marks.may_change_bucket():
        compaction.compact()


@shared_task(name="ingest.write_journal")
def write_journal(**_: Any) -> None:
    """Write the waiting entries of the journals."""
    if marks.may_change_bucket():
        journal.write()
        journal.mark()


@worker_init.connect
def _refuse_wrong_processors(**_: Any) -> None:
    """A worker without one of its processors would complete batches too early."""
    try:
        processors.installed()
    except processors.WrongProcessor as error:
        sys.exit(f"evermuse: EVERMUSE_PROCESSORS: {error}")
