"""The metric of reads that the standby answered, and of those that fell back to the primary."""

import re
import time
from collections.abc import Callable

import pytest
from django.test import Client

from evermuse import replica
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land
from tests.journeys.stack import until
from tests.parts.standby import Standby
from tests.records import record

pytestmark = pytest.mark.django_db(transaction=True)


def scraped(api: ApiClient) -> dict[str, float]:
    found = re.findall(r'evermuse_replica_reads_total\{server="(\w+)"\} (\S+)', api.get("/metrics").content.decode())
    return {server: float(count) for server, count in found}


@pytest.fixture
def counted(api: ApiClient, standby: Standby) -> Callable[[], tuple[float, float]]:
    """How many reads the standby and the primary have answered since the test began."""
    before = scraped(api)

    def since() -> tuple[float, float]:
        now = scraped(api)
        return now["replica"] - before["replica"], now["primary"] - before["primary"]

    return since


@pytest.fixture
def record_path(api: ApiClient, standby: Standby) -> str:
    """The path of a record that the standby has replayed."""
    send_and_land(api, record())
    until(standby.has_replayed, "the standby has replayed the landing")
    [row] = api.get("/api/v1/records").json()["records"]
    return f"/api/v1/records/{row['recordId']}"


def read_all(api: ApiClient, admin_client: Client, record_path: str) -> None:
    """Four reads for the standby."""
    for path in ("/api/v1/records", "/api/v1/records/removed", record_path):
        assert api.get(path).status_code == 200
    assert admin_client.get("/admin/ingest/batch/").status_code == 200


def test_list_of_a_workspace_without_landings_is_not_counted(
    api: ApiClient, counted: Callable[[], tuple[float, float]]
) -> None:
    assert api.get("/api/v1/records").json()["records"] == []
    assert counted() == (0, 0)


def test_reads_that_the_standby_answers_are_counted(
    api: ApiClient, admin_client: Client, standby: Standby, record_path: str, counted: Callable[[], tuple[float, float]]
) -> None:
    until(standby.has_replayed, "the standby has replayed the admin's login")
    read_all(api, admin_client, record_path)
    assert counted() == (4, 0)


def test_reads_that_the_standby_has_not_replayed_are_counted_for_the_primary(
    api: ApiClient, admin_client: Client, standby: Standby, record_path: str, counted: Callable[[], tuple[float, float]]
) -> None:
    standby.rows("SELECT 1 FROM pg_wal_replay_pause()")
    send_and_land(api, record())
    read_all(api, admin_client, record_path)
    assert counted() == (0, 4)


def test_reads_are_counted_for_the_primary_while_the_standby_is_not_tried_after_a_fault(
    api: ApiClient, admin_client: Client, record_path: str, counted: Callable[[], tuple[float, float]]
) -> None:
    replica._Process.retry_at = time.monotonic() + 60
    read_all(api, admin_client, record_path)
    assert counted() == (0, 4)


def test_query_that_the_standby_cancels_is_counted_for_the_primary(
    standby: Standby, counted: Callable[[], tuple[float, float]]
) -> None:
    def page() -> str:
        if replica.alias() == replica.ALIAS:
            raise replica.NotUsable("it cancelled the query")
        return "page"

    until(standby.has_replayed, "the standby has replayed everything")
    assert replica.read_current(page) == "page"
    assert counted() == (0, 1)
