"""After a restore: ids are given once, what is in the bucket lands again, and what is missing is named."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from evermuse import public_ids
from ingest import tasks
from ingest.admission import room
from ingest.clients import workspaces
from ingest.models import Batch, Workspace
from ingest.pipeline import journal
from ingest.pipeline import landing as pipeline
from lake import object_store
from lake.models import DatabaseTimeline, JournalFill, Payload, Record, RestoreMark, Segment
from lake.restore import listing, marks, sequences
from lake.segments import sweeper
from tests.http_client import ApiClient
from tests.ingest.landing import outcomes, send_and_land
from tests.ingest.restoring.set_back import forget_looks, lost, set_sequences
from tests.ingest.test_landing_segments import number
from tests.lake.journal.bucket import differences
from tests.lake.segments.test_compaction import compact
from tests.records import record

RECORDS = "/api/v1/records"


@pytest.fixture(autouse=True)
def empty_bucket(db: None) -> Iterator[None]:
    """Other tests' objects belong to rows that were rolled back. A test that empties the tables takes the mark with them."""
    marks.row()
    forget_looks()
    drawn = sequences.drawn()
    for prefix in (listing.JOURNALS, listing.SEGMENTS, marks.PREFIX, "attachments/"):
        object_store.remove([one.key for one in listing.objects(prefix)])
    yield
    set_sequences(drawn)
    object_store.remove([one.key for one in listing.objects(marks.PREFIX)])
    forget_looks()


@pytest.fixture(autouse=True)
def earlier_batches(workspace: Workspace) -> None:
    """Old ones, so that ids which other tests drew are not in doubt."""
    for minutes in (20, 10):
        Batch.objects.create(
            workspace=workspace, source="api", type="message", status="FAILED", record_count=1, accepted_count=0,
            rejected_count=1, error_count=1, created_at=timezone.now() - timedelta(minutes=minutes),
        )  # fmt: skip


def named(name: str, text: str) -> dict[str, Any]:
    return record(vendor_ids={"id": name}, data={"v": text})


def check(capsys: pytest.CaptureFixture[str], *options: str, code: int = 0) -> dict[str, Any]:
    """Runs the command; stdout holds the JSON alone."""
    capsys.readouterr()
    found = 0
    try:
        call_command("restorecheck", *options)
    except SystemExit as end:
        found = int(end.code or 0)
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found == code, report
    return report


def round_of_journal() -> None:
    """What the worker does every five seconds."""
    journal.write()
    journal.mark()


def data(api: ApiClient) -> dict[str, Any]:
    """Each record's ``data`` and version, by its name."""
    answer = api.get(RECORDS).json()
    assert "records" in answer, answer
    rows = answer["records"]
    return {row["record"]["_vendor_ids"]["id"]: (row["record"]["data"]["v"], row["version"]) for row in rows}


def test_check_reports_nothing_missing_if_nothing_was_lost(api: ApiClient, capsys: pytest.CaptureFixture[str]) -> None:
    send_and_land(api, [named("a", "1")])
    round_of_journal()
    report = check(capsys)
    assert (report["complete"], report["wasSetBack"], report["landedAgain"]["batches"]) == (True, False, [])
    assert report["missing"]["batches"] == report["found"]["segments"]["keys"] == []


def test_no_batch_id_is_given_a_second_time(api: ApiClient, capsys: pytest.CaptureFixture[str]) -> None:
    send_and_land(api, [named("a", "1")])
    with lost():
        given = [number(api.post([named("b", str(n))]).json()["batchId"]) for n in range(40)]
    check(capsys)
    again = number(api.post([named("c", "1")]).json()["batchId"])
    assert again > max(given) + 10**8
    # A second check in a row does not leap again, and a later one does: a restore between the two may have gone unnoticed.
    assert [one for one in check(capsys)["sequences"] if one["name"] == "ingest_batch_id_seq"] != []
    assert check(capsys)["sequences"] == []


@pytest.mark.parametrize("emptied", [False, True], ids=["whole", "without-the-row-of-the-fill"])
def test_batches_land_again_from_segments_and_journal(
    api: ApiClient, workspace: Workspace, capsys: pytest.CaptureFixture[str], *, emptied: bool
) -> None:
    if emptied:
        JournalFill.objects.all().delete()
    send_and_land(api, [named("a", "1"), named("b", "1")])
    round_of_journal()
    with lost():
        first = send_and_land(api, [named("a", "2"), {"bad": 1}, named("b", "1"), named("c", "1"), named("c", "2")])
        second = send_and_land(api, [named("a", "3")])
        round_of_journal()
        before, told = data(api), outcomes(api, first)
    assert data(api) == {"a": ("1", 1), "b": ("1", 1)}
    dry = check(capsys, "--dry-run")
    expected = [{"first": first, "last": second, "count": 2}]
    assert (dry["landedAgain"]["batches"], dry["missing"]["batches"]) == (expected, [])
    assert data(api) == {"a": ("1", 1), "b": ("1", 1)}
    report = check(capsys)
    assert (report["wasSetBack"], report["complete"]) == (True, True)
    assert report["landedAgain"] == {
        "batches": expected, "records": 5, "rejectedRecordsLost": 1, "workspacesMade": []
    }  # fmt: skip
    assert data(api) == before == {"a": ("3", 3), "b": ("1", 1), "c": ("2", 1)}
    assert outcomes(api, first) == told
    status = api.get(f"/api/v1/ingest/batches/{first}").json()
    assert (status["status"], status["acceptedCount"], status["rejectedCount"]) == ("COMPLETE", 4, 1)
    for _ in range(2):
        round_of_journal()
    assert differences(workspace) == []


def test_a_batch_lands_again_from_its_segment_alone(api: ApiClient, capsys: pytest.CaptureFixture[str]) -> None:
    with lost():
        batch_id = send_and_land(api, [{"bad": 1}, named("a", "1")])
        journal.mark()
    report = check(capsys)
    assert report["landedAgain"]["batches"] == [{"first": batch_id, "last": batch_id, "count": 1}]
    assert outcomes(api, batch_id) == ["rejected", "created"]
    assert data(api) == {"a": ("1", 1)}


def test_batches_whose_body_was_lost_are_named_exactly(api: ApiClient, capsys: pytest.CaptureFixture[str]) -> None:
    send_and_land(api, [named("a", "1")])
    round_of_journal()
    with lost():
        first = api.post([named("b", "1")]).json()["batchId"]
        second = api.post([named("c", "1")]).json()["batchId"]
        Batch.objects.filter(pk__in=[number(first), number(second)]).update(status="FAILED")
        landed = send_and_land(api, [named("d", "1")])
        third = api.post([named("e", "1")]).json()["batchId"]
        journal.mark()
    for _ in range(2):  # it stays missing
        report = check(capsys, code=1)
        assert report["missing"]["batches"] == [
            {"first": first, "last": second, "count": 2}, {"first": third, "last": third, "count": 1}
        ]  # fmt: skip
    assert Batch.objects.filter(pk=number(landed)).exists()


def test_a_database_that_is_restored_twice_misses_no_id_that_was_skipped(
    api: ApiClient, capsys: pytest.CaptureFixture[str]
) -> None:
    with lost():
        with lost():
            lost_id = api.post([named("a", "1")]).json()["batchId"]
            journal.mark()
        first = check(capsys, code=1)
        later = send_and_land(api, [named("b", "1")])
        round_of_journal()
    assert first["missing"]["batches"] == [{"first": lost_id, "last": lost_id, "count": 1}]
    second = check(capsys, code=1)
    assert second["landedAgain"]["batches"] == [{"first": later, "last": later, "count": 1}]
    assert second["missing"]["batches"] == first["missing"]["batches"]


def test_lines_that_compaction_moved_are_found_where_they_are(
    api: ApiClient, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(3):
        send_and_land(api, [named(f"r{n}", "1")])
    round_of_journal()
    with lost():
        assert compact().merged == 3
        Segment.objects.filter(state="R").update(expires_at="2020-01-01T00:00:00Z")
        sweeper.sweep()
        round_of_journal()
    assert check(capsys)["pointedAgain"] == 3
    # Nobody has counted the lines of this segment that no version needs, so compaction rewrites it once.
    assert Segment.objects.get(state="L", layout=Segment.Layout.LISTED).dead_count == 1
    Payload.objects.all().delete()
    assert data(api) == {f"r{n}": ("1", 1) for n in range(3)}


def test_workspace_that_was_made_after_the_backup_is_made_again(
    new_client: Callable[..., ApiClient], capsys: pytest.CaptureFixture[str]
) -> None:
    with lost():
        later = workspaces.ensure(name="later", products=[("prod-abc", ["proj-123"])])
        send_and_land(new_client(of=later), [named("a", "1")])
        round_of_journal()
    report = check(capsys)
    assert report["landedAgain"]["workspacesMade"] == ["later"]
    made = Workspace.objects.get(name="later")
    assert made.pk == later.pk
    assert Record.objects.get(workspace=made).version == 1


def test_nothing_in_the_bucket_is_deleted_before_the_check(api: ApiClient, capsys: pytest.CaptureFixture[str]) -> None:
    send_and_land(api, [named("a", "1")])
    round_of_journal()
    segment = Segment.objects.get(source="api")
    Segment.objects.filter(pk=segment.pk).update(state="I", expires_at="2020-01-01T00:00:00Z")
    with lost():
        Segment.objects.filter(pk=segment.pk).update(state="L", expires_at=None)
        send_and_land(api, [named("b", "1")])
        round_of_journal()
    tasks.sweep_segments()
    assert object_store.get(segment.key, max_bytes=10**6) is not None
    assert RestoreMark.objects.get().set_back_at is not None
    # The sequences leapt as soon as that was known.
    room.make_ahead()
    assert number(api.post([named("c", "1")]).json()["batchId"]) > 10**9
    tasks.write_journal()
    pipeline.land_waiting()
    check(capsys)
    forget_looks()
    tasks.sweep_segments()
    assert RestoreMark.objects.get().set_back_at is None
    assert object_store.get(segment.key, max_bytes=10**6) is None


def test_ids_of_lost_batches_are_shown_as_clients_know_them() -> None:
    assert public_ids.batch_number(public_ids.of_batch(10**9 + 1)) == 10**9 + 1


def test_database_without_a_mark_gets_a_new_identity() -> None:
    RestoreMark.objects.all().delete()
    assert marks.may_change_bucket()
    first = RestoreMark.objects.get()
    assert (marks.row().database, first.tick, first.set_back_at) == (first.database, 0, None)


def promote(before: dict[str, int], *, seconds_ago: float = 3600.0) -> None:
    """What the first connection to a promoted standby does: the sequences have leapt, and the row says so."""
    moved = {name: value + sequences.LEAST_LEAP for name, value in before.items()}
    set_sequences(moved)
    at = timezone.now() - timedelta(seconds=seconds_ago)
    DatabaseTimeline.objects.update_or_create(
        pk=1, defaults={"timeline": 2, "promoted_at": at, "before": before, "moved": moved}
    )
    room.make_ahead()


def test_journal_of_the_bucket_that_a_promoted_standby_does_not_know_needs_the_check(
    api: ApiClient, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """The old primary was lost before it wrote its next mark, so the marks alone do not tell."""
    send_and_land(api, [named("a", "1")])
    round_of_journal()
    with lost():
        first = send_and_land(api, [named("b", "1")])
        journal.write()
    promote(sequences.drawn())
    assert not marks.may_change_bucket()
    assert RestoreMark.objects.get().set_back_at is not None
    room.make_ahead()
    second = send_and_land(api, [named("c", "1")])
    tasks.write_journal()
    report = check(capsys)
    assert (report["wasSetBack"], [one["first"] for one in report["landedAgain"]["batches"]]) == (True, [first])
    assert report["missing"]["batches"] == []
    assert number(second) > number(first) + 10**8
    round_of_journal()
    assert set(data(api)) == {"a", "b", "c"}
    assert differences(workspace) == []
    assert marks.may_change_bucket()


def test_promoted_standby_that_lacks_nothing_needs_no_check(api: ApiClient, capsys: pytest.CaptureFixture[str]) -> None:
    send_and_land(api, [named("a", "1")])
    round_of_journal()
    promote(sequences.drawn())
    forget_looks()
    assert marks.may_change_bucket()
    assert DatabaseTimeline.objects.get().promoted_at is None
    send_and_land(api, [named("b", "1")])
    round_of_journal()
    report = check(capsys)
    # The ids that the leap has skipped are not missing.
    assert (report["complete"], report["missing"]["batches"]) == (True, [])


def test_bucket_is_left_alone_while_workers_of_the_old_primary_may_be_writing(api: ApiClient) -> None:
    send_and_land(api, [named("a", "1")])
    promote(sequences.drawn(), seconds_ago=1)
    forget_looks()
    assert not marks.may_change_bucket()
    assert DatabaseTimeline.objects.get().promoted_at is not None
    assert RestoreMark.objects.get().set_back_at is None
