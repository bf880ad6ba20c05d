"""Payloads in partitions: an expired partition is dropped whole, needed payloads move on, and no request waits."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from ingest import retention
from ingest.admission import room
from ingest.models import Batch, Workspace
from ingest.pipeline import detail, partitions, sweeper, transitions
from ingest.pipeline import landing as pipeline
from lake import payload_partitions
from lake.models import Payload, PayloadKept, PayloadPart, SegmentBatch
from lake.payload_partitions import WIDTH, PayloadPartition
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land
from tests.ingest.sessions import another_session
from tests.journeys.stack import until
from tests.records import record

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def full(api: ApiClient) -> PayloadPartition:
    """The next partition. The batches that a test sends go into it, until `go_on`."""
    payload_partitions.make_ahead(Batch.objects.order_by("-id").values_list("id", flat=True).first() or 0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('ingest_batch_id_seq')")
        last = cursor.fetchone()[0]
        partition = next(one for one in payload_partitions.partitions() if one.start > last)
        cursor.execute("SELECT setval('ingest_batch_id_seq', %s)", [partition.start])
    payload_partitions.make_ahead(partition.start)
    return partition


def go_on(api: ApiClient, partition: PayloadPartition) -> str:
    """Sends a batch that goes into the partition after; returns its id."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval('ingest_batch_id_seq', %s)", [partition.end])
    return str(api.post([record()]).json()["batchId"])


def settle(days: float = 9) -> None:
    """Makes all batches accepted, and the landed ones completed, this many days ago."""
    at = timezone.now() - timedelta(days=days)
    Batch.objects.update(created_at=at)
    Batch.objects.filter(status__in=["COMPLETE", "FAILED"]).update(completed_at=at)


def names() -> set[str]:
    return {one.name for one in payload_partitions.partitions()}


def remove() -> int:
    return retention.remove_expired(kinds=(detail.PAYLOADS,), seconds=60)["payloads"]


def number(batch_id: str) -> int:
    return int(batch_id[6:])


def test_partition_of_expired_payloads_is_dropped_and_records_read_back_the_same(
    api: ApiClient, full: PayloadPartition
) -> None:
    for n in range(3):
        send_and_land(api, [record(data={"n": n})])
    settle()
    go_on(api, full)
    before = api.get("/api/v1/records").content
    assert remove() == 3
    assert full.name not in names()
    assert payload_partitions.detached() == []
    assert api.get("/api/v1/records").content == before
    assert Payload.objects.count() == 1


def test_partition_is_dropped_although_compaction_has_left_out_all_lines_of_a_batch(
    api: ApiClient, full: PayloadPartition
) -> None:
    emptied = send_and_land(api, [record()])
    SegmentBatch.objects.filter(batch_id=number(emptied)).update(line_count=0, segment_id=0)
    settle()
    go_on(api, full)
    assert remove() == 1
    assert full.name not in names()
    assert list(PayloadKept.objects.all()) == []


def test_partition_is_kept_while_one_of_its_payloads_is_younger(api: ApiClient, full: PayloadPartition) -> None:
    send_and_land(api, [record()])
    settle()
    send_and_land(api, [record()])
    go_on(api, full)
    assert remove() == 1, "the partition spans too many days, so its payloads are removed row by row"
    assert full.name in names()


def test_payloads_of_a_short_partition_are_removed_together(api: ApiClient, full: PayloadPartition) -> None:
    send_and_land(api, [record()])
    send_and_land(api, [record()])
    settle(6.9)
    Batch.objects.filter(id=Batch.objects.order_by("id")[0].pk).update(
        created_at=timezone.now() - timedelta(days=7.1), completed_at=timezone.now() - timedelta(days=7.1)
    )
    go_on(api, full)
    assert remove() == 0
    stretches = partitions.row_by_row(full.end + 10)
    assert stretches[-1] == (full.end - 1, full.end + 10)
    assert not any(after < full.start <= last for after, last in stretches)
    settle(8)
    assert remove() == 2
    assert full.name not in names()


def test_payloads_still_needed_move_out_of_a_dropped_partition_and_land_later(
    api: ApiClient, full: PayloadPartition, workspace: Workspace
) -> None:
    gone = send_and_land(api, [record()])
    waiting, lost = (str(api.post([record()]).json()["batchId"]) for _ in range(2))
    Batch.objects.filter(id=number(lost)).update(
        status="FAILED", failure="given up: 3 workers died", failure_code="GIVEN_UP", completed_at=timezone.now()
    )
    settle()
    go_on(api, full)
    assert remove() == 1
    assert full.name not in names()
    assert set(PayloadKept.objects.values_list("batch_id", flat=True)) == {number(waiting), number(lost)}
    assert transitions.reopen(number(lost))
    pipeline.land_waiting()
    assert {api.batch(one)["status"] for one in (gone, waiting, lost)} == {"COMPLETE"}
    assert retention.remove_expired(now=timezone.now() + timedelta(days=8), kinds=(detail.PAYLOADS,))["payloads"] == 3
    assert not PayloadKept.objects.exists()


def test_payloads_under_a_legal_hold_outlive_their_partition(
    api: ApiClient, full: PayloadPartition, workspace: Workspace
) -> None:
    batch_id = send_and_land(api, [record()])
    settle()
    go_on(api, full)
    Workspace.objects.filter(pk=workspace.pk).update(legal_hold=True)
    assert remove() == 0
    assert full.name not in names()
    assert Payload.objects.filter(batch_id=number(batch_id)).exists()


def test_batch_reopened_after_detaching_is_found_before_the_table_is_dropped(
    api: ApiClient, full: PayloadPartition
) -> None:
    """After a crash the detached table remains, and a batch in it has been opened again."""
    batch_id = str(api.post([record(event_at="x")]).json()["details"]["batchId"])
    settle()
    go_on(api, full)
    transitions.reopen(number(batch_id))
    payload_partitions.detach(full)
    assert payload_partitions.detached() == [full.name]
    remove()
    assert payload_partitions.detached() == []
    assert [one.batch_id for one in PayloadKept.objects.all()] == [number(batch_id)]


def test_partition_with_too_many_needed_payloads_is_kept(
    api: ApiClient, full: PayloadPartition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "MOST_KEPT", 1)
    for _ in range(2):
        api.post([record()])
    settle()
    go_on(api, full)
    assert remove() == 0
    assert full.name in names()


def test_no_request_waits_while_a_partition_is_detached(api: ApiClient, full: PayloadPartition) -> None:
    send_and_land(api, [record()])
    settle()
    go_on(api, full)

    def maintain() -> int:
        with closing(connection):
            return remove()

    with another_session() as other, ThreadPoolExecutor(1) as pool:
        other.execute("SELECT count(*) FROM lake_payloadpart")
        removing = pool.submit(maintain)
        until(_detaching_waits, "detaching waits for the reader")
        assert api.post([record()]).status_code == 202
        pipeline.land_waiting()
        assert not removing.done()
        other.rollback()
        assert removing.result(60) == 1
    assert full.name not in names()


def test_no_request_waits_while_a_detached_partition_is_dropped(
    api: ApiClient, full: PayloadPartition, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_and_land(api, [record()])
    settle()
    go_on(api, full)
    dropped, go_ahead = Event(), Event()

    def drop(name: str) -> int:
        count = real(name)
        dropped.set()
        assert go_ahead.wait(60)
        return count

    def maintain() -> int:
        with closing(connection):
            return remove()

    real = payload_partitions.drop
    monkeypatch.setattr(payload_partitions, "drop", drop)
    with ThreadPoolExecutor(1) as pool:
        removing = pool.submit(maintain)
        try:
            assert dropped.wait(60)
            # The transaction that dropped the table is still open.
            assert _exclusively_locked_tables() == {full.name}
            batch_id = send_and_land(api, [record()])
            assert not removing.done()
        finally:
            go_ahead.set()
        assert removing.result(60) == 1
    assert Batch.objects.get(pk=int(batch_id[6:])).status == "COMPLETE"


def _exclusively_locked_tables() -> set[str]:
    """Tables with a lock that an insert or a read would wait for."""
    with connection.cursor() as cursor:
        # Of a table that another transaction has dropped the catalog still has the name.
        cursor.execute(
            "SELECT c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE l.locktype = 'relation' "
            "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND c.relkind IN ('r', 'p') "
            "AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')"
        )
        return {row[0] for row in cursor.fetchall()}


def _detaching_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%CONCURRENTLY' AND wait_event_type = 'Lock' "
            "AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])


def test_partitions_are_made_ahead_and_older_versions_can_still_insert_payloads(
    api: ApiClient, full: PayloadPartition
) -> None:
    ends = [one.end for one in payload_partitions.partitions()]
    assert ends[-1] >= full.start + payload_partitions.AHEAD
    assert payload_partitions.make_ahead(ends[-1]) == payload_partitions.AHEAD // WIDTH
    assert payload_partitions.make_ahead(ends[-1]) == 0
    api.post([record()])
    sent = PayloadPart.objects.get()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ingest_payload (batch_id, media_type, query, size, frames, content) VALUES (%s, %s, '', %s, '{}', %s)",
            [sent.batch_id + 1, sent.media_type, sent.size, bytes(sent.content)],
        )
    assert sorted(PayloadPart.objects.values_list("batch_id", flat=True)) == [sent.batch_id, sent.batch_id + 1]


def next_id(batch_id: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval('ingest_batch_id_seq', %s)", [batch_id - 1])


@pytest.mark.parametrize(
    "options",
    [{}, {"idempotency_key": "k"}, {"is_mixed": True}],
    ids=["plain", "with an idempotency key", "with a rejected record"],
)
def test_batch_whose_id_has_no_partition_is_accepted_and_lands(api: ApiClient, options: dict[str, Any]) -> None:
    api.post([record()])
    beyond = payload_partitions.partitions()[-1].end
    next_id(beyond)
    body = [record(), record(event_at="x")] if options.pop("is_mixed", False) else [record()]
    answer = api.post(body, **options)
    assert answer.status_code == 202, answer.content
    assert number(answer.json()["batchId"]) >= beyond
    pipeline.land_waiting()
    assert api.batch(answer.json()["batchId"])["status"] == "COMPLETE"
    assert Payload.objects.filter(batch_id=number(answer.json()["batchId"])).exists()


def test_one_partition_covers_the_ids_that_a_leap_skipped(api: ApiClient) -> None:
    last = payload_partitions.partitions()[-1].end
    next_id(last + 1000 * WIDTH)
    assert api.post([record()]).status_code == 202
    [leap] = [one for one in payload_partitions.partitions() if one.start == last]
    assert leap.end == last + 1001 * WIDTH
    assert room.ids_left() >= payload_partitions.AHEAD - 2
    assert api.post([record()]).status_code == 202


def test_sweeper_makes_partitions_even_if_retention_does_not_run(api: ApiClient) -> None:
    next_id(payload_partitions.partitions()[-1].end - 10)
    assert room.ids_left() < 20
    sweeper.sweep()
    assert room.ids_left() >= payload_partitions.AHEAD - 20


def test_other_integrity_errors_are_not_mistaken_for_a_missing_partition(workspace: Workspace) -> None:
    with pytest.raises(IntegrityError) as found, transaction.atomic():
        Workspace.objects.create(name=workspace.name)
    assert not payload_partitions.is_missing(found.value)
    with pytest.raises(IntegrityError) as found, transaction.atomic():
        Batch.objects.create(
            workspace=workspace, created_at=timezone.now(), record_count=-1, accepted_count=0, rejected_count=0,
            error_count=0,
        )  # fmt: skip
    assert not payload_partitions.is_missing(found.value)
