"""A reader that continues from the greatest ``updatedAt`` it has seen misses nothing, whatever lands meanwhile."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils.crypto import get_random_string
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from evermuse import retry_policy
from ingest.clients import api_keys, workspaces
from ingest.models import Batch, Workspace
from ingest.pipeline import claims, reprocessing
from ingest.pipeline import landing as pipeline
from ingest.pipeline.claims import Claim
from lake.models import ChangeClock, OpenLanding, Record
from tests.http_client import ApiClient
from tests.ingest.landing import AT_ONCE, STORE_IS_AWAY, send_and_land, versions
from tests.ingest.reader import Reader, stored
from tests.ingest.sessions import another_session, locked
from tests.journeys.stack import until
from tests.records import record

RECORDS = "/api/v1/records"
with_commits = pytest.mark.django_db(transaction=True)


def landing_that_waits(claimed: list[Claim]) -> Callable[[], None]:
    """Lands these claims in a thread up to a locked row. The returned function waits until they have landed."""

    def run() -> None:
        try:
            done.append(pipeline.land(claimed))
        finally:
            connection.close()

    def waits() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%lake_record%'"
            )
            return bool(cursor.fetchone()[0])

    def finish() -> None:
        worker.join()
        assert done == [len(claimed)]

    done: list[int] = []
    worker = threading.Thread(target=run)
    worker.start()
    until(waits, "the landing waits for the locked row")
    return finish


def expire() -> None:
    """Lets every lease expire."""
    Batch.objects.filter(claimed_until__isnull=False).update(claimed_until=datetime(2000, 1, 1, tzinfo=UTC))


@with_commits
@pytest.mark.parametrize("by", ["pages", "stream"])
def test_reader_receives_records_that_an_older_landing_commits_late(
    api: ApiClient, workspace: Workspace, other_workspace: Workspace, new_client: Callable[..., ApiClient], by: str
) -> None:
    def read(reader: Reader) -> set[str]:
        return reader.stream() if by == "stream" else reader.read(limit=2)

    foreign = new_client(of=other_workspace)
    mine, theirs = Reader(api), Reader(foreign)
    send_and_land(api, versions("1"))
    assert len(read(mine)) == 1
    row = Record.objects.get()
    api.post([versions("2"), *(record() for _ in range(5))])
    with locked(row.pk):
        finish = landing_that_waits(claims.claim())
        for _ in range(3):
            later = send_and_land(api, record())
            assert api.batch(later)["status"] == "COMPLETE"
            read(mine)
            assert len(stored(workspace.pk)) > len(mine.seen)
        # Readers of other workspaces do not wait for it, and a single record is visible at once.
        send_and_land(foreign, record())
        assert len(read(theirs)) == 1
        late = Record.objects.get(batch_id=int(later[6:]))
        assert api.get(f"{RECORDS}/{late.public_id}").status_code == 200
    finish()
    read(mine)
    assert mine.seen == stored(workspace.pk)
    assert len(mine.seen) == 9
    assert not OpenLanding.objects.exists()


@with_commits
def test_reader_that_started_before_a_slow_landing_misses_nothing(api: ApiClient, workspace: Workspace) -> None:
    send_and_land(api, [versions("1"), *(record() for _ in range(3))])
    (found,) = api.get(RECORDS, "vendor_id=id:same").json()["records"]
    row = Record.objects.get(id=found["recordId"].removeprefix("rec_"))
    page = api.get(RECORDS, "limit=2").json()
    seen = [r["recordId"] for r in page["records"]]
    api.post([versions("2"), record()])
    with locked(row.pk):
        finish = landing_that_waits(claims.claim())
        send_and_land(api, [record() for _ in range(3)])
        page = api.get(RECORDS, f"limit=2&cursor={page['nextCursor']}").json()
        seen += [r["recordId"] for r in page["records"]]
        assert page["nextCursor"] is None
    finish()
    rest = Reader(api)
    rest.mark = max(r["updatedAt"] for r in page["records"])
    assert {*seen, *rest.read()} == set(stored(workspace.pk))


def test_landed_record_is_listed_at_once_unless_an_older_landing_is_open(api: ApiClient) -> None:
    first, second, third = (api.post(record()).json()["batchId"] for _ in range(3))
    Batch.objects.exclude(id=int(first[6:])).update(not_before=datetime.now(UTC) + timedelta(seconds=5))
    oldest = claims.claim()
    Batch.objects.filter(id=int(second[6:])).update(not_before=None)
    middle = claims.claim()
    Batch.objects.update(not_before=None)
    youngest = claims.claim()
    assert [[f"batch_{c.batch_id:019d}" for c in claims] for claims in (oldest, middle, youngest)] == [
        [first], [second], [third],
    ]  # fmt: skip
    reader = Reader(api)
    counts = []
    for claimed in (middle, oldest, youngest):
        assert pipeline.land(claimed) == 1
        reader.read()
        counts.append(len(reader.seen))
    # The middle landing only waits for the oldest one; the youngest stays open throughout and delays nothing.
    assert counts == [0, 2, 3]


@with_commits
def test_open_transactions_of_other_sessions_do_not_delay_the_list(api: ApiClient) -> None:
    send_and_land(api, record())
    with another_session() as backup, another_session() as idle:
        backup.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        backup.execute("SELECT count(*) FROM lake_record")
        idle.execute("CREATE TEMPORARY TABLE t AS SELECT pg_current_xact_id()")
        for _ in range(3):
            send_and_land(api, record())
        assert len(api.get(RECORDS).json()["records"]) == 4


def test_reader_misses_no_record_after_a_worker_was_killed(api: ApiClient, workspace: Workspace) -> None:
    reader = Reader(api)
    api.post([record() for _ in range(3)])
    api.post(record())
    lost = claims.claim()
    landings = pipeline._archive(pipeline._parse(lost))
    send_and_land(api, record())
    assert reader.read() == set()
    expire()
    # Suspect batches are claimed alone: landing the first one does not end the landing of the other.
    assert pipeline.land(claims.claim()) == 1
    assert reader.read() == set()
    assert pipeline.land_waiting() == 1
    assert pipeline._commit(landings) == []
    reader.read()
    assert reader.seen == stored(workspace.pk)
    assert len(reader.seen) == 5
    assert not OpenLanding.objects.exists()


def test_worker_paused_beyond_its_lease_adds_nothing_that_a_reader_has_passed(
    api: ApiClient, workspace: Workspace
) -> None:
    reader = Reader(api)
    api.post(versions("1"))
    stopped = claims.claim()
    landings = pipeline._archive(pipeline._parse(stopped))
    expire()
    fresh = claims.claim()
    assert fresh[0].at > stopped[0].at
    # A landing that can no longer commit delays nothing.
    assert list(OpenLanding.objects.values_list("at", flat=True)) == [fresh[0].at]
    assert pipeline.land(fresh) == 1
    assert len(reader.read()) == 1
    assert pipeline._commit(landings) == []
    assert reader.seen == stored(workspace.pk)


def test_released_claim_does_not_delay_the_list(api: ApiClient) -> None:
    reader = Reader(api)
    for _ in range(2):
        api.post(record())
    claimed = claims.claim()
    send_and_land(api, record())
    claims.release(claimed[:1], policy=retry_policy.LANDING_STORE, failure=STORE_IS_AWAY)
    assert reader.read() == set()
    claims.release(claimed[1:], policy=retry_policy.LANDING_STORE, failure=STORE_IS_AWAY, crashed=True)
    assert len(reader.read()) == 1


def test_batch_that_was_given_up_does_not_delay_the_list(api: ApiClient) -> None:
    reader = Reader(api)
    poison = int(api.post(record()).json()["batchId"][6:])
    claims.claim()
    send_and_land(api, record())
    Batch.objects.filter(id=poison).update(lone_crashes=claims.MAX_LONE_CRASHES)
    expire()
    assert reader.read() == set()
    assert pipeline.land_waiting() == 0
    assert Batch.objects.get(id=poison).status == "FAILED"
    assert len(reader.read()) == 1


def test_clock_that_was_set_back_hides_no_record_from_a_reader(api: ApiClient, workspace: Workspace) -> None:
    send_and_land(api, record())
    ahead = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    Record.objects.update(updated_at=ahead)
    ChangeClock.objects.update(at=ahead)
    reader = Reader(api)
    reader.read()
    for n in range(1, 4):
        send_and_land(api, record())
        assert len(reader.read()) == 2, "the last record seen, and the new one"
        assert reader.mark == int(ahead.timestamp() * 1000) + n
    assert reader.seen == stored(workspace.pk)


def test_restored_rows_are_listed_to_a_reader_that_has_moved_on(api: ApiClient, workspace: Workspace) -> None:
    batch_id = send_and_land(api, [record() for _ in range(3)])
    reader = Reader(api)
    lost = Record.objects.order_by("id")[0]
    Record.objects.filter(pk=lost.pk).delete()
    send_and_land(api, record())
    reader.read()
    assert lost.public_id not in reader.seen
    assert reprocessing.reprocess(int(batch_id[6:])).restored == 1
    assert lost.public_id in reader.read()
    assert reader.seen == stored(workspace.pk)


def test_sweeper_ends_landings_that_no_worker_ended(api: ApiClient) -> None:
    api.post(record())
    (claim,) = claims.claim()
    OpenLanding.objects.update(at=claim.at - timedelta(minutes=5))
    assert claims.end_forgotten_landings() == 0, "the landing may still commit"
    Batch.objects.update(status="COMPLETE")  # as a worker of an earlier version does it
    assert claims.end_forgotten_landings() == 1
    assert not OpenLanding.objects.exists()


def test_past_and_future_events_are_read_in_one_statement(
    api: ApiClient,
) -> None:
    """A record that lands between two statements could be missed."""
    send_and_land(api, [record(event_at="2999-01-01T00:00:00Z"), record(event_at="2026-06-01T00:00:00Z")])
    with connection.execute_wrapper(count := Counted("lake_record")):
        assert len(api.get(RECORDS, "event_since=2026-01-01").json()["records"]) == 2
    assert count.statements == 1


class Counted:
    """Counts the statements that read a table."""

    def __init__(self, table: str) -> None:
        self._table, self.statements = f'FROM "{table}"', 0

    def __call__(self, execute: Any, sql: str, *rest: Any) -> Any:
        self.statements += self._table in sql
        return execute(sql, *rest)


class Interleavings(RuleBasedStateMachine):
    """Accepts, claims, lands, loses, releases, takes over and repairs in any order, while a reader continues.

    A claim and a landing are one commit each, and any rule may run between them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.point = transaction.savepoint()
        workspace = workspaces.ensure(name=f"w-{get_random_string(12)}", products=[("prod-abc", ["proj-123"])])
        self.api = ApiClient(Client(), api_keys.create(workspace=workspace, label="k", rate_limit=0).secret)
        self.workspace_id = workspace.pk
        self.reader = Reader(self.api)
        self.claims: list[list[Claim]] = []
        self.landed: list[int] = []

    def teardown(self) -> None:
        try:
            while self.claims:
                self._land(self.claims.pop(0))
            Batch.objects.update(not_before=None)
            pipeline.land_waiting()
            expire()
            while claimed := claims.claim():
                self._land(claimed)
            self.reader.read()
            assert self.reader.seen == stored(self.workspace_id)
            assert not OpenLanding.objects.filter(workspace_id=self.workspace_id).exists()
        finally:
            transaction.savepoint_rollback(self.point)

    def _land(self, claimed: list[Claim]) -> None:
        pipeline.land(claimed)
        self.landed += [c.batch_id for c in claimed if Batch.objects.get(id=c.batch_id).status == "COMPLETE"]

    @rule(names=st.lists(st.sampled_from("abcde"), min_size=1, max_size=3), value=st.integers(0, 2))
    def accept(self, names: list[str], value: int) -> None:
        self.api.post([record(vendor_ids={"id": name}, data={"v": value}) for name in names])

    @rule(most=st.integers(1, 3))
    def claim(self, most: int) -> None:
        patch = pytest.MonkeyPatch()
        patch.setattr(claims, "CLAIM_BATCHES", most)
        if claimed := claims.claim():
            self.claims.append(claimed)
        patch.undo()

    @rule(data=st.data())
    def land(self, data: Any) -> None:
        if self.claims:
            self._land(self.claims.pop(data.draw(st.integers(0, len(self.claims) - 1))))

    @rule(data=st.data(), crashed=st.booleans())
    def give_back(self, data: Any, crashed: bool) -> None:
        if self.claims:
            claimed = self.claims[data.draw(st.integers(0, len(self.claims) - 1))]
            some = data.draw(st.sets(st.sampled_from(claimed)))
            if some:
                claims.release(list(some), policy=AT_ONCE, failure=STORE_IS_AWAY, crashed=crashed)

    @rule()
    def leases_run_out(self) -> None:
        """The workers live on; what they try to land later must change nothing."""
        expire()

    @rule()
    def the_clock_was_ahead(self) -> None:
        for clock in ChangeClock.objects.filter(workspace_id=self.workspace_id):
            clock.at += timedelta(seconds=10)
            clock.save()

    @rule(data=st.data())
    def lose_and_repair(self, data: Any) -> None:
        if self.landed:
            number = data.draw(st.sampled_from(self.landed))
            Record.objects.filter(batch_id=number).update(digest=b"x" * 32)
            reprocessing.reprocess(number)

    @invariant()
    def the_reader_goes_on(self) -> None:
        self.reader.read(limit=3)

    @invariant()
    def without_open_landings_everything_is_listed(self) -> None:
        if not OpenLanding.objects.filter(workspace_id=self.workspace_id).exists():
            listed = Reader(self.api)
            listed.read()
            assert listed.seen == stored(self.workspace_id)


def test_reader_ends_with_all_records_after_any_sequence_of_landings(db: None) -> None:
    run_state_machine_as_test(
        Interleavings,
        settings=settings(
            max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
