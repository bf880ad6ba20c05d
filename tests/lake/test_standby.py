"""Lists of records are read from a real streaming standby, and never lack what the primary would show."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import DataError, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from deploy.local.embedded import Servers
from evermuse import replica, server_urls
from ingest.models import Workspace
from lake import standby as reads
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land
from tests.journeys.stack import until
from tests.parts.standby import Standby
from tests.records import record

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def reading_from_the_standby() -> Iterator[Callable[[], bool]]:
    """Whether records were read from the standby in the block."""
    with CaptureQueriesContext(connections[replica.ALIAS]) as queries:
        yield lambda: any('FROM "lake_record"' in query["sql"] for query in queries.captured_queries)


def listed(api: ApiClient, path: str = "/api/v1/records?limit=100") -> list[str]:
    answer = api.get(path).json()
    assert "records" in answer, answer
    return [row["record"]["data"]["text"] for row in answer["records"]]


def instant(milliseconds: int) -> str:
    """An instant of the API as a query parameter."""
    return f"{datetime.fromtimestamp(milliseconds // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def land(api: ApiClient, text: str) -> None:
    send_and_land(api, record(data={"text": text}))


def test_list_of_records_is_read_from_a_standby_that_has_replayed_the_landing(api: ApiClient, standby: Standby) -> None:
    land(api, "a")
    until(standby.has_replayed, "the standby has replayed the landing")
    with reading_from_the_standby() as was_used:
        assert listed(api) == ["a"]
        assert was_used()
    with reading_from_the_standby() as was_used:
        stream = b"".join(api.get("/api/v1/records", accept="application/x-ndjson").streaming_content)
        assert stream.count(b'"recordId"') == 1
        assert was_used()


def test_landing_that_the_standby_has_not_replayed_is_read_from_the_primary(api: ApiClient, standby: Standby) -> None:
    land(api, "a")
    until(standby.has_replayed, "the standby has replayed the landing")
    [row] = api.get("/api/v1/records").json()["records"]
    standby.rows("SELECT 1 FROM pg_wal_replay_pause()")
    land(api, "b")
    with reading_from_the_standby() as was_used:
        assert listed(api) == ["a", "b"]
        assert listed(api, f"/api/v1/records?changed_since={instant(row['updatedAt'])}") == ["a", "b"]
        assert not was_used()
    standby.rows("SELECT 1 FROM pg_wal_replay_resume()")
    until(standby.has_replayed, "the standby has replayed the landing")
    with reading_from_the_standby() as was_used:
        assert listed(api) == ["a", "b"]
        assert was_used()


def test_single_record_is_read_from_the_standby_and_never_in_an_older_version(api: ApiClient, standby: Standby) -> None:
    def text() -> str:
        return str(api.get(f"/api/v1/records/{record_id}").json()["record"]["data"]["text"])

    sent = {"vendor_ids": {"id": "one"}}
    send_and_land(api, record(**sent, data={"text": "a"}))
    [row] = api.get("/api/v1/records").json()["records"]
    record_id = row["recordId"]
    until(standby.has_replayed, "the standby has replayed the landing")
    with reading_from_the_standby() as was_used:
        assert text() == "a"
        assert was_used()
    standby.rows("SELECT 1 FROM pg_wal_replay_pause()")
    send_and_land(api, record(**sent, data={"text": "b"}))
    with reading_from_the_standby() as was_used:
        assert text() == "b"
        assert not was_used()


def test_list_of_the_admin_is_read_from_the_standby_and_shows_the_last_batch(
    api: ApiClient, admin_client: Client, standby: Standby
) -> None:
    def shown() -> tuple[bool, bool]:
        with CaptureQueriesContext(connections[replica.ALIAS]) as queries:
            page = admin_client.get("/admin/ingest/batch/").content.decode()
        return sent in page, any('FROM "ingest_batch"' in query["sql"] for query in queries.captured_queries)

    sent = api.post([record()]).json()["batchId"]
    until(standby.has_replayed, "the standby has replayed the batch")
    assert shown() == (True, True)
    standby.rows("SELECT 1 FROM pg_wal_replay_pause()")
    sent = api.post([record()]).json()["batchId"]
    assert shown() == (True, False)


def test_reader_that_continues_by_changed_since_misses_nothing_while_the_standby_lags(
    api: ApiClient, standby: Standby
) -> None:
    seen: set[str] = set()
    since, used = "2020-01-01T00:00:00Z", 0
    for number in range(12):
        # Two of three landings happen while nothing is replayed.
        standby.rows(f"SELECT 1 FROM pg_wal_replay_{'resume' if number % 3 == 0 else 'pause'}()")
        land(api, f"text {number}")
        if number % 3 == 0:
            until(standby.has_replayed, "the standby has replayed the landing")
        with reading_from_the_standby() as was_used:
            rows = api.get(f"/api/v1/records?limit=100&changed_since={since}").json()["records"]
            used += was_used()
        seen |= {row["record"]["data"]["text"] for row in rows}
        since = instant(rows[-1]["updatedAt"])
        assert seen == {f"text {n}" for n in range(number + 1)}
    assert used == 4


def test_standby_that_lags_behind_for_too_long_is_not_used_and_the_log_says_so_once(
    api: ApiClient, standby: Standby, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    land(api, "a")
    until(standby.has_replayed, "the standby has replayed the landing")
    settings.EVERMUSE_REPLICA_MAX_LAG_SECONDS = 0
    for _ in range(3):
        replica._Process.retry_at = 0.0
        assert listed(api) == ["a"]
    told = [entry for entry in caplog.records if "replica.not_used" in str(entry.msg)]
    assert len(told) == 1
    assert "lags behind" in str(told[0].msg)
    settings.EVERMUSE_REPLICA_MAX_LAG_SECONDS = 600
    replica._Process.retry_at = 0.0
    with reading_from_the_standby() as was_used:
        assert listed(api) == ["a"]
        assert was_used()
    assert replica._Process.fault == ""


def test_standby_that_is_away_is_named_by_readyz_and_reads_go_to_the_primary(
    api: ApiClient, standby: Standby, servers: Servers
) -> None:
    land(api, "a")
    until(standby.has_replayed, "the standby has replayed the landing")
    # The probe waits a limited time for its first connection.
    until(lambda: ready(api) == (200, "ok"), "readyz reports the standby")
    servers.stop(standby.name)
    try:
        assert listed(api) == ["a"]
        assert ready(api) == (200, "away")
        assert not replica.may_try()
    finally:
        servers.start(standby.name)
        servers.wait_ready(standby.name)
    assert listed(api) == ["a"]
    # A standby knows how far it is behind once it has replayed a transaction.
    land(api, "b")
    until(standby.has_replayed, "the standby has replayed the landing")
    assert ready(api) == (200, "ok")
    servers.stop(standby.name)
    servers.start(standby.name)
    servers.wait_ready(standby.name)
    land(api, "c")
    until(standby.has_replayed, "the standby has replayed the landing")
    assert ready(api) == (200, "ok"), "the probe asks the standby itself, not a connection that it has ended"


def ready(api: ApiClient) -> tuple[int, str]:
    answer = api.get("/readyz")
    return answer.status_code, answer.json()["checks"]["replica"]


def test_query_that_the_standby_cancels_for_the_replay_runs_again_on_the_primary(
    api: ApiClient, workspace: Workspace, standby: Standby
) -> None:
    land(api, "a")
    until(standby.has_replayed, "the standby has replayed the landing")
    asked: list[str] = []

    def page() -> str:
        asked.append(replica.alias())
        with connections[replica.alias()].cursor() as cursor:
            if replica.alias() == replica.ALIAS:
                # What PostgreSQL answers when a query conflicts with recovery.
                cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END $$")
            return replica.alias()

    assert reads.read(workspace.pk, page) == "default"
    assert asked == ["replica", "default"]
    assert replica.may_try()


def test_query_with_values_that_no_server_takes_is_no_fault_of_the_standby(standby: Standby) -> None:
    # A standby knows how far it is behind once it has replayed a transaction.
    until(standby.has_replayed, "the standby has replayed the workspace")
    asked: list[str] = []

    def page() -> None:
        asked.append(replica.alias())
        with connections[replica.alias()].cursor() as cursor:
            cursor.execute("SELECT 'x'::timestamptz")

    with pytest.raises(DataError):
        replica.read_current(page)
    assert asked == ["replica"]
    assert replica.may_try()


def test_row_that_was_read_from_the_standby_is_saved_on_the_primary(workspace: Workspace, standby: Standby) -> None:
    until(standby.has_replayed, "the standby has replayed the workspace")
    found = replica.read_current(lambda: Workspace.objects.get(pk=workspace.pk))
    assert found._state.db == replica.ALIAS
    found.name = "renamed"
    found.save(update_fields=["name"])
    workspace.refresh_from_db()
    assert workspace.name == "renamed"


def test_server_that_is_no_standby_is_not_used(api: ApiClient, workspace: Workspace, standby: Standby) -> None:
    """After a failover, the variable may name the old primary or the new one."""
    connections[replica.ALIAS].close()
    connections.settings[replica.ALIAS]["PORT"] = connections.settings["default"]["PORT"]
    del connections[replica.ALIAS]
    land(api, "a")
    used: list[Any] = []
    reads.read(workspace.pk, lambda: used.append(replica.alias()))
    assert used == ["default"]
    assert replica._Process.fault == "it is not a standby"


def test_url_of_several_hosts_leads_to_the_server_that_accepts_writes(standby: Standby) -> None:
    """`target_session_attrs` is how processes find the new primary after a failover."""
    own = connections.settings["default"]
    hosts = f"127.0.0.1:{standby.port},127.0.0.1:{own['PORT']}"
    url = f"postgresql://{own['USER']}:{own['PASSWORD']}@{hosts}/{connections['default'].settings_dict['NAME']}"
    found = {}
    for wanted in ("any", "read-write", "standby"):
        parsed = server_urls.database(f"{url}?target_session_attrs={wanted}")
        connections.settings[replica.ALIAS] = {**connections.settings[replica.ALIAS], **parsed}
        connections[replica.ALIAS].close()
        del connections[replica.ALIAS]
        with connections[replica.ALIAS].cursor() as cursor:
            cursor.execute("SELECT pg_is_in_recovery()")
            [found[wanted]] = cursor.fetchone()
    assert found == {"any": True, "read-write": False, "standby": True}
