"""The journal is written from committed rows: a kill, a lost claim or an absent store loses no event and leaves no object."""

from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from evermuse.errors import StoreUnavailable
from ingest import retention, tasks
from ingest.models import Workspace
from ingest.pipeline import detail, journal
from ingest.pipeline import landing as pipeline
from lake import object_store
from lake.journal import sql, writing
from lake.models import BatchOutcomes, Journal, JournalEntry, Segment
from lake.segments import registry, sweeper
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land
from tests.ingest.test_landing_segments import let_expire
from tests.lake.journal.bucket import differences, from_bucket, journal_keys
from tests.records import record


class Killed(BaseException):
    """Not caught by any code, like a kill of the process."""


def die(*_: object, **__: object) -> None:
    raise Killed


def let_claims_expire() -> None:
    Journal.objects.update(claimed_until=F("claimed_until") - timedelta(minutes=10))


def live() -> list[str]:
    return list(Segment.objects.filter(layout=Segment.Layout.JOURNAL, state="L").values_list("key", flat=True))


KILLS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "after the numbers were bound": lambda patch: patch.setattr(writing, "_draft", die),
    "before the key is committed": lambda patch: patch.setattr(registry, "intend", die),
    "before the object is written": lambda patch: patch.setattr(object_store, "put", die),
    "after the object was written": lambda patch: patch.setattr(writing, "_publish", die),
    "inside the transaction that publishes": lambda patch: patch.setattr(sql, "DELETE_ENTRIES", "SELECT 1 / 0"),
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kill", KILLS)
def test_killed_writer_loses_no_event_and_leaves_no_object(
    api: ApiClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, kill: str
) -> None:
    for n in range(3):
        send_and_land(api, [record(data={"n": n})])
    with monkeypatch.context() as patch:
        KILLS[kill](patch)
        # A killed process gives nothing back.
        patch.setattr(registry, "give_up", lambda ids: None)
        patch.setattr(writing, "_release", lambda claims: None)
        with pytest.raises((Killed, Exception)):
            journal.write()
    assert live() == []
    assert JournalEntry.objects.count() == 3
    assert journal.write() == 0, "the dead writer's claim has not expired"
    # Meanwhile more lands, with an entry that must not get one of the numbers that were bound.
    send_and_land(api, [record(data={"n": "later"})])
    let_claims_expire()
    assert journal.write() == 4
    told = from_bucket(workspace)
    assert told.entries == [1, 2, 3, 4]
    assert differences(workspace) == []
    let_expire()
    sweeper.sweep()
    assert sorted(journal_keys(workspace)) == sorted(live())
    assert differences(workspace) == []


@pytest.mark.django_db(transaction=True)
def test_writer_that_lost_its_claim_publishes_nothing(
    api: ApiClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_and_land(api, [record()])
    real = object_store.put
    overtaken: list[int] = []

    def put(key: str, content: bytes, content_type: str) -> str:
        uri = real(key, content, content_type)
        if not overtaken:
            overtaken.append(1)
            let_claims_expire()
            send_and_land(api, [record()])
            assert journal.write() == 2
        return uri

    monkeypatch.setattr(object_store, "put", put)
    # In this thread, so that the claim that overtakes is made while the first object is being written.
    monkeypatch.setattr(writing, "_uploads", Inline())
    assert journal.write() == 0
    assert [writing.numbers_of(key) for key in live()] == [(1, 1), (2, 2)]
    let_expire()
    sweeper.sweep()
    assert sorted(journal_keys(workspace)) == sorted(live())
    assert differences(workspace) == []


class Inline:
    """Runs at once what is submitted."""

    def submit(self, call: Callable[..., object], *arguments: object) -> "Done":
        return Done(call(*arguments))


class Done:
    def __init__(self, result: object) -> None:
        self._result = result

    def result(self) -> object:
        return self._result


def test_events_wait_while_the_store_is_away(
    api: ApiClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_and_land(api, [record()])

    def away(*_: object) -> None:
        raise StoreUnavailable("it timed out")

    with monkeypatch.context() as patch:
        patch.setattr(object_store, "put", away)
        assert journal.write() == 0
    assert JournalEntry.objects.count() == 1
    assert writing.behind_seconds() > 0
    assert journal.write() == 1
    assert writing.behind_seconds() == 0.0
    assert differences(workspace) == []


def test_nothing_is_written_while_nothing_happens(api: ApiClient, workspace: Workspace) -> None:
    send_and_land(api, [record()])
    assert journal.write() == 1
    assert journal.write() == 0
    assert len(journal_keys(workspace)) == 1


def test_landing_task_writes_the_journal_only_if_entries_have_waited_too_long(api: ApiClient) -> None:
    api.post([record()])
    tasks.land_batches()
    assert len(writing.waiting()) == 1
    JournalEntry.objects.update(noted_at=timezone.now() - timedelta(seconds=journal.LATE_SECONDS))
    tasks.land_batches()
    assert writing.waiting() == []


def test_landing_of_many_batches_costs_one_entry(api: ApiClient) -> None:
    for n in range(5):
        api.post([record(data={"n": n, "i": i}) for i in range(20)])
    assert pipeline.land_waiting() == 5
    [entry] = JournalEntry.objects.all()
    assert entry.batch_ids is not None
    assert len(entry.batch_ids) == 5


@pytest.mark.django_db(transaction=True)
def test_entry_that_commits_late_is_written_after_those_with_greater_ids(api: ApiClient, workspace: Workspace) -> None:
    note = "INSERT INTO lake_journalentry (workspace_id, kind, batch_ids, reason) VALUES (%s, 'G', '{999}', 'GIVEN_UP')"
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}) as late:
        late.execute(note, [workspace.pk])
        send_and_land(api, [record()])
        assert journal.write() == 1
        late.commit()
    assert journal.write() == 1
    told = from_bucket(workspace)
    assert (told.entries, told.given_up) == ([1, 2], {999: "GIVEN_UP"})


def test_outcomes_stay_until_the_journal_has_read_them(
    api: ApiClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_and_land(api, [record()])
    later = timezone.now() + timedelta(days=1000)

    def away(*_: object) -> None:
        raise StoreUnavailable("it timed out")

    with monkeypatch.context() as patch:
        patch.setattr(object_store, "put", away)
        assert retention.remove_expired(now=later, kinds=(detail.OUTCOMES,)) == {"outcomes": 0}
    assert BatchOutcomes.objects.count() == 1
    assert retention.remove_expired(now=later, kinds=(detail.OUTCOMES,)) == {"outcomes": 1}
    assert len(from_bucket(workspace).outcomes) == 1
