"""Dead lines are counted on the segment that holds them, although compaction moves lines at the same time."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F

from ingest import retention
from ingest.models import Workspace
from ingest.pipeline import aged, journal
from lake.models import Record, Segment
from lake.parted_upload import PartedUpload
from lake.segments import registry
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land, versions
from tests.ingest.retention.versions import expire_versions
from tests.ingest.test_landing_segments import lines_of
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


def records_segments() -> list[Segment]:
    """Without the journal's."""
    return [segment for segment in live() if segment.layout == Segment.Layout.LISTED]


def content(segments: list[Segment]) -> bytes:
    return b"".join(line for segment in segments for line in all_lines(segment))


def test_lines_of_records_sent_again_unchanged_or_too_late_are_dead(api: ApiClient) -> None:
    send_and_land(api, [versions("1"), record()])
    assert [segment.dead_count for segment in live()] == [0]
    send_and_land(api, [versions("1"), versions("2"), record(), record()])
    *_, second = live()
    assert (second.line_count, second.dead_count) == (4, 1)
    send_and_land(api, [versions("2"), record(), record(), record()])
    *_, third = live()
    assert (third.line_count, third.dead_count) == (4, 1)


def test_segment_of_records_sent_again_unchanged_is_deleted_although_it_is_alone(api: ApiClient) -> None:
    send_and_land(api, record(vendor_ids={"id": "1"}))
    first = live()[0]
    Segment.objects.update(day=date(2020, 1, 1))
    again = send_and_land(api, record(vendor_ids={"id": "1"}))
    assert compact().merged == 1
    assert live() == [Segment.objects.get(pk=first.pk)]
    assert lines_of(again) == []


def test_line_of_an_expired_version_is_dead(api: ApiClient) -> None:
    send_and_land(api, [versions("1"), record()])
    send_and_land(api, versions("2"))
    journal.write()
    assert expire_versions() == 1
    first, second = records_segments()
    assert (first.dead_count, second.dead_count) == (1, 0)


def test_no_line_of_a_removed_record_stays_in_the_bucket(api: ApiClient, workspace: Workspace) -> None:
    """Neither of its current version, nor of an expired one, nor of one that was sent again unchanged."""
    others = [record(data={"other": True}) for _ in range(9)]
    for text in ("secret 1", "secret 2", "secret 2"):
        send_and_land(api, [record(vendor_ids={"id": "same"}, event_at=OLD, data={"v": text}), *others])
        # Each alone on its date, so that no merge removes lines by the way.
        day = date(2020, 1, 1) + timedelta(days=Segment.objects.count())
        Segment.objects.filter(day__gt=date(2024, 1, 1)).update(day=day)
    journal.write()
    assert expire_versions() == 1
    keep_a_year(workspace)
    assert retention.remove_expired(kinds=aged.KINDS, seconds=60)["records"] == 1
    assert content(records_segments()).count(b"secret") == 3
    Segment.objects.update(created_at=F("created_at") - timedelta(days=31))
    compact()
    assert content(records_segments()).count(b"secret") == 0
    assert content(records_segments()).count(b"other") == 9
