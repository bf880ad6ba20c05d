"""A rebuild from the bucket alone: segments and journal tell everything that PostgreSQL knows of records."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db.models import F
from django.utils import timezone

from ingest import retention
from ingest.models import Batch, Workspace
from ingest.pipeline import aged, claims, journal, reprocessing
from ingest.pipeline import landing as pipeline
from lake import identity, reading, term_sets, terms
from lake.journal import filling, writing
from lake.models import JournalEntry, JournalFill, Record, Segment
from lake.segments import sweeper
from tests.http_client import ApiClient
from tests.ingest.landing import outcomes, send_and_land
from tests.ingest.retention.versions import expire_versions
from tests.ingest.test_claims import expire
from tests.ingest.test_landing_segments import number
from tests.lake.journal.bucket import differences, from_bucket, journal_keys
from tests.lake.segments.test_compaction import compact
from tests.records import record

OLD = "2020-01-31T12:00:00Z"


def named(name: str, text: str, **more: Any) -> dict[str, Any]:
    return record(vendor_ids={"id": name}, data={"v": text}, **more)


def mixed_load(api: ApiClient, workspace: Workspace) -> None:
    """Every way in which a record is stored, changed and removed."""
    first = send_and_land(api, [named("a", "1"), named("b", "1"), named("c", "1", event_at=OLD), {"bad": 1}])
    journal.write()
    again = send_and_land(api, [named("a", "2"), named("b", "1"), named("d", "1"), named("d", "2")])
    assert outcomes(api, again) == ["updated", "identical", "superseded", "created"]
    # Three batches of one landing, which write one record in turn.
    for text in ("3", "4", "5"):
        api.post([named("a", text)])
    assert pipeline.land_waiting() == 3
    older, newer = (number(api.post([named("e", text)]).json()["batchId"]) for text in ("older", "newer"))
    Batch.objects.filter(id=older).update(not_before=timezone.now() + timedelta(seconds=20))
    pipeline.land_waiting()
    claims.pull_forward([older])
    pipeline.land_waiting()
    assert Record.objects.get(batch_id=newer).version == 1
    Workspace.objects.filter(pk=workspace.pk).update(record_retention_days=365)
    assert retention.remove_expired(kinds=aged.KINDS, seconds=60)["records"] == 1
    Workspace.objects.filter(pk=workspace.pk).update(record_retention_days=None)
    send_and_land(api, [named("c", "again", event_at=OLD)])
    assert compact().merged
    journal.write()
    Record.objects.filter(batch_id=number(first)).delete()
    assert reprocessing.reprocess(number(first)).restored == 1
    assert api.post([{"bad": 2}]).status_code == 400
    give_up(api)


def give_up(api: ApiClient) -> None:
    batch_id = number(api.post([named("lost", "1")]).json()["batchId"])
    Batch.objects.filter(id=batch_id).update(lone_crashes=3, crashes=3)
    assert claims.claim() == []
    assert Batch.objects.get(id=batch_id).failure_code == "GIVEN_UP"


def test_records_versions_instants_outcomes_places_and_removals_are_those_of_postgresql(
    api: ApiClient, workspace: Workspace
) -> None:
    mixed_load(api, workspace)
    assert journal.write()
    assert differences(workspace) == []
    told = from_bucket(workspace)
    assert (len(told.records), len(told.replaced), len(told.removed), len(told.given_up)) == (5, 4, 1, 1)
    assert told.entries == list(range(1, len(told.entries) + 1))
    assert not JournalEntry.objects.exists()
    assert retention.remove_expired(now=timezone.now() + timedelta(days=91), seconds=60)["replaced-versions"] == 4
    compact()
    journal.write()
    told = from_bucket(workspace)
    assert (len(told.records), len(told.replaced)) == (5, 0)


def test_version_is_kept_until_the_journal_has_told_who_replaced_it(api: ApiClient, workspace: Workspace) -> None:
    send_and_land(api, named("a", "1")), send_and_land(api, named("a", "2"))
    assert expire_versions() == 0
    assert journal.write()
    assert expire_versions() == 1
    assert journal.write()
    assert differences(workspace) == []


def test_fields_of_a_line_lead_to_the_row_of_its_record(api: ApiClient, workspace: Workspace) -> None:
    mixed_load(api, workspace)
    journal.write()
    told = from_bucket(workspace)
    for id, version in told.records.items():
        row = Record.objects.get(id=UUID(id))
        normalized = reading.relaxed(told.documents[version.place])
        assert normalized is not None
        assert identity.record_key(workspace.pk, normalized).hex() == id
        assert (normalized.digest[:16], normalized.type) == (bytes(row.digest)[:16], row.batch.type)
        [has] = term_sets.whole([row])
        assert terms.term(workspace.pk, "product", normalized.product_id) in has


def test_workspaces_have_journals_of_their_own(
    api: ApiClient, workspace: Workspace, new_client: Callable[..., ApiClient], other_workspace: Workspace
) -> None:
    mixed_load(api, workspace)
    send_and_land(new_client(of=other_workspace), [named("a", "other")])
    journal.write()
    assert differences(workspace) == differences(other_workspace) == []
    assert from_bucket(other_workspace).entries == [1]


def test_the_objects_of_a_closed_date_become_one(
    api: ApiClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MOST_EVENTS", 2)
    mixed_load(api, workspace)
    journal.write()
    assert len(journal_keys(workspace)) > 3
    compact()
    journal.write()
    compact()
    live = Segment.objects.filter(layout=Segment.Layout.JOURNAL, state="L")
    assert live.count() == 1
    # The merged ones are still there, for readers that have begun. Each event counts once.
    assert len(journal_keys(workspace)) > 4
    assert differences(workspace) == []
    Segment.objects.filter(state="R").update(expires_at=F("expires_at") - timedelta(days=1))
    sweeper.sweep()
    assert journal_keys(workspace) == [live.get().key]
    assert differences(workspace) == []


def test_an_object_is_not_merged_over_a_gap_in_the_numbers(
    api: ApiClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MOST_EVENTS", 1)
    for n in range(5):
        send_and_land(api, [named(str(n), "1")])
    journal.write()
    parts = Segment.objects.filter(layout=Segment.Layout.JOURNAL, state="L").order_by("key")
    assert [writing.numbers_of(one.key) for one in parts] == [(n, n) for n in range(1, 6)]
    parts.filter(pk=parts[2].pk).update(claimed_until=timezone.now() + timedelta(hours=1))
    compact()
    assert [writing.numbers_of(one.key) for one in parts.all()] == [(1, 2), (3, 3), (4, 5)]
    Segment.objects.update(claimed_until=None)
    compact()
    assert [writing.numbers_of(one.key) for one in parts.all()] == [(1, 5)]
    journal.write()
    assert differences(workspace) == []


def test_records_that_were_stored_before_the_journal_are_added_to_it(
    api: ApiClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "RECORDS_A_STEP", 2)
    for text in ("1", "2"):
        send_and_land(api, [named(name, text) for name in "abcde"])
    JournalEntry.objects.all().delete()
    JournalFill.objects.all().delete()
    fill = JournalFill.objects.create(
        id=1, starts_at=timezone.now() + timedelta(minutes=1), after_id=UUID(int=0), ended_at=None
    )
    assert filling.fill() == 0
    JournalFill.objects.update(starts_at=timezone.now() - timedelta(minutes=1))
    # A landing that is noted meanwhile does not matter: each event says what it knows.
    send_and_land(api, [named("a", "3"), named("f", "1")])
    assert filling.fill() == 6
    assert filling.fill() == 0
    fill.refresh_from_db()
    assert fill.ended_at is not None
    journal.write()
    told, different = from_bucket(workspace), differences(workspace)
    assert len(told.records) == 6
    assert [one.partition(":")[0] for one in different] == ["outcomes"], "those of batches before the journal"


def test_an_updated_record_that_was_removed_before_it_was_written_is_gone(api: ApiClient, workspace: Workspace) -> None:
    for text in ("1", "2"):
        send_and_land(api, [named("a", text, event_at=OLD)])
    Workspace.objects.filter(pk=workspace.pk).update(record_retention_days=1)
    assert retention.remove_expired(kinds=aged.KINDS, seconds=60)["records"] == 1
    journal.write()
    assert from_bucket(workspace).records == {}
    assert differences(workspace) == []


def test_a_batch_that_was_given_up_and_retried_has_landed(api: ApiClient, workspace: Workspace) -> None:
    give_up(api)
    journal.write()
    assert len(from_bucket(workspace).given_up) == 1
    api.post(None, path=f"/api/v1/ingest/batches/batch_{Batch.objects.get().pk:019d}/retry")
    expire()
    pipeline.land_waiting()
    journal.write()
    assert from_bucket(workspace).given_up == {}
    assert differences(workspace) == []
