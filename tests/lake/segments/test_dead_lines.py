"""Dead lines are counted on the segment that holds them, although compaction moves lines at the same time."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from django.db import connection

from ingest import retention
from ingest.models import Workspace
from ingest.pipeline import aged
from lake.models import Record, Segment
from lake.parted_upload import PartedUpload
from lake.segments import registry
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land
from tests.journeys.stack import until
from tests.lake.segments.test_compaction import all_lines, compact, live
from tests.records import record

OLD = "2020-01-31T12:00:00Z"


def keep_a_year(workspace: Workspace) -> None:
    Workspace.objects.filter(pk=workspace.pk).update(record_retention_days=365)


def remove() -> int:
    with closing(connection):
        return retention.remove_expired(kinds=aged.KINDS, seconds=60)["records"]


def waits_for_a_row() -> bool:
    with connection.cursor() as cursor:
        # pg_stat_activity would stay the same until the end of this transaction.
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple')")
        return bool(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
def test_removed_record_whose_line_was_copied_is_counted_on_the_new_segment(
    api: ApiClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_and_land(api, [record(event_at=OLD), record(), record()]), send_and_land(api, [record()])
    keep_a_year(workspace)
    removed: list[int] = []

    def complete(self: PartedUpload) -> None:
        if not removed:
            removed.append(retention.remove_expired(kinds=aged.KINDS, seconds=60)["records"])
        real(self)

    real = PartedUpload.complete
    monkeypatch.setattr(PartedUpload, "complete", complete)
    assert compact().merged == 2
    assert removed == [1]
    (segment,) = live()
    assert (segment.line_count, segment.dead_count) == (4, 1)
    assert Record.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_removal_that_waits_for_compaction_counts_on_the_new_segment(
    api: ApiClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_and_land(api, [record(event_at=OLD), record(), record()]), send_and_land(api, [record()])
    keep_a_year(workspace)
    real: Callable[..., dict[str, Any]] = registry.parameters_of
    removals: list[Future[int]] = []
    with ThreadPoolExecutor(1) as pool:

        def point(*spans: Any) -> dict[str, Any]:
            """Inside of the transaction that holds the sources."""
            removals.append(pool.submit(remove))
            until(waits_for_a_row, "the removal waits for a segment")
            return real(*spans)

        monkeypatch.setattr(registry, "parameters_of", point)
        assert compact().merged == 2
        assert removals[0].result(60) == 1
    (segment,) = live()
    assert (segment.line_count, segment.dead_count) == (4, 1)
    assert {one.dead_count for one in Segment.objects.filter(state="R")} == {0}


def test_lines_dead_before_compaction_are_left_out_and_not_counted(api: ApiClient, workspace: Workspace) -> None:
    send_and_land(api, [record(event_at=OLD), record()]), send_and_land(api, [record()])
    keep_a_year(workspace)
    assert retention.remove_expired(kinds=aged.KINDS, seconds=60)["records"] == 1
    compact()
    (segment,) = live()
    assert (len(all_lines(segment)), segment.dead_count) == (2, 0)
