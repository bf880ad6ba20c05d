"""Lists with a rare term are looked up in the index, however many records the planner expects; others walk."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from ingest.models import Workspace
from lake import common_terms, term_sets, terms
from lake.term_sets import Wanted
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land
from tests.records import record

RARE = {"thread_id": "rare"}
# As the planner sees it with many millions of records: it expects so many of a term that it does not know.
PREFER_WALKS = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"


@pytest.fixture(autouse=True)
def statistics_are_read_again(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(common_terms, "MAX_AGE_SECONDS", 0.0)
    yield
    common_terms.forget()


def analyze() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE lake_record")


def walk(api: ApiClient, query: str) -> list[str]:
    """The vendor ids of all records of a list, page by page."""
    found: list[str] = []
    cursor = ""
    while True:
        page: dict[str, Any] = api.get("/api/v1/records", f"{query}&limit=3{cursor}").json()
        found += [next(iter(row["record"]["_vendor_ids"].values())) for row in page["records"]]
        if not page["nextCursor"]:
            return found
        cursor = f"&cursor={page['nextCursor']}"


def plan(api: ApiClient, query: str) -> str:
    """How PostgreSQL finds the first page's records."""
    with CaptureQueriesContext(connection) as queries:
        assert api.get("/api/v1/records", f"{query}&limit=3").status_code == 200
    [statement] = [one["sql"] for one in queries.captured_queries if 'FROM "lake_record" WHERE' in one["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (COSTS OFF) {statement}")
        return "\n".join(line for (line,) in cursor.fetchall())


def test_lists_of_rare_and_common_terms_have_all_records_in_the_order_of_their_change(api: ApiClient) -> None:
    common = [f"c{n}" for n in range(8)]
    rare = [f"r{n}" for n in range(8)]
    for name in common:
        send_and_land(api, record(vendor_ids={"id": name}, tags=["common"]))
    analyze()
    for name in rare:
        send_and_land(api, record(vendor_ids={"id": name}, tags=["common"], **RARE))
    send_and_land(api, record(vendor_ids={"id": "c3"}, tags=["common", "again"]))
    assert walk(api, "thread_id=rare") == rare
    assert walk(api, "thread_id=rare&tag=common") == rare
    assert walk(api, "tag=common") == [name for name in [*common, *rare] if name != "c3"] + ["c3"]
    assert walk(api, "thread_id=rare&event_since=2000-01-01T00:00:00Z") == rare
    assert walk(api, "thread_id=none") == []


def test_list_of_a_rare_term_does_not_walk_where_the_planner_would(api: ApiClient) -> None:
    send_and_land(api, [record(tags=["common"]) for _ in range(100)])
    analyze()
    with connection.cursor() as cursor:
        cursor.execute(PREFER_WALKS)
    assert "Presorted Key: updated_at" in plan(api, "tag=common")
    assert "Presorted Key" not in plan(api, "thread_id=rare")


def test_term_is_rare_if_the_statistics_do_not_list_it_or_one_of_its_sets(api: ApiClient, workspace: Workspace) -> None:
    send_and_land(api, [record(tags=["one"]) for _ in range(20)])
    unknown = Wanted(1, "thread_term", ())
    assert not common_terms.is_rare([unknown])  # nothing is known yet
    analyze()
    assert common_terms.is_rare([unknown])
    known = term_sets.holding(workspace.id, [(terms.term(workspace.id, "tag", "one"), "")])
    assert not common_terms.is_rare(known)
    assert common_terms.is_rare([*known, unknown])
    assert not common_terms.is_rare([])
    # Many rare terms may be common together.
    assert not common_terms.is_rare([Wanted(1, "", tuple(range(2, 2 + common_terms.MOST_RARE)))])
