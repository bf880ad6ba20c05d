"""Term sets: what records have in common is stored once, and filters find the records as before."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from ingest.clients import workspaces
from ingest.models import Project, Workspace
from ingest.pipeline.reprocessing import Reprocessed, reprocess
from lake import term_sets, terms
from lake.models import Record, TermSet, TermSetStart
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land
from tests.ingest.sessions import another_session
from tests.lake.index_rows import stored_terms
from tests.records import record

TAGS = ["one", "two"]
PEOPLE = [{"id": "system", "role": "internal"}, {"id": "ann", "role": "external", "email": "ann@example.com"}]
FILTERS = ("type=message", "product_id=prod-abc", "project_id=proj-123", "tag=two", "participant=ann%40example.com")


def alike(count: int = term_sets.FEWEST_RECORDS, **more: Any) -> list[dict[str, Any]]:
    """New records that differ in their vendor id alone."""
    return [record(type="message", tags=TAGS, participants=PEOPLE, **more) for _ in range(count)]


def found(api: ApiClient, query: str) -> int:
    answer = api.get("/api/v1/records", f"{query}&limit=100")
    assert answer.status_code == 200, answer.content
    return len(answer.json()["records"])


def not_checked_for_a_day() -> None:
    TermSet.objects.update(checked_at=Now() - timedelta(days=2))


@pytest.fixture
def before_sets() -> Iterator[None]:
    """Processes of an earlier version may still run."""
    TermSetStart.objects.create(starts_at=Now() + timedelta(hours=1))
    yield
    TermSetStart.objects.all().delete()


@contextmanager
def another_landing_stores(set_id: int, workspace_id: int) -> Iterator[None]:
    """Another session has stored a set, and has not committed yet."""
    with another_session() as other:
        done = other.execute(term_sets.ADD, {"id": set_id, "workspace": workspace_id, "terms": [1, 2], "most": 10})
        assert done.rowcount == 1
        yield


def test_similar_records_have_the_id_of_a_set_and_their_own_terms(api: ApiClient, workspace: Workspace) -> None:
    send_and_land(api, alike(thread_id="thread"))
    stored = TermSet.objects.get(terms__len=8)
    for row in Record.objects.all():
        assert row.thread_term == terms.term(workspace.pk, "thread", "thread")
        assert (row.term_set, row.terms) == (terms.short(stored.id), None)
        assert row.vendor_term is not None


@pytest.mark.parametrize("query", [*FILTERS, "&".join(FILTERS), "thread_id=thread", "tag=one&thread_id=thread"])
def test_filters_find_records_with_and_without_sets(api: ApiClient, query: str, before_sets: None) -> None:
    send_and_land(api, alike(3, thread_id="thread"))
    assert not TermSet.objects.exists()
    TermSetStart.objects.update(starts_at=Now())
    send_and_land(api, alike(2, thread_id="thread"))
    send_and_land(api, alike(10, thread_id="thread"))
    send_and_land(api, [record(type="call", product_id="prod-abc", tags=["three"])])
    assert (
        sorted(len(stored_terms(row)) for row in Record.objects.filter(batch__type="message"))
        == [3] * 10 + [8] * 2 + [10] * 3
    )
    assert found(api, query) == (16 if query in FILTERS[1:3] else 15)
    assert found(api, f"{query}&event_until=2020-01-01T00:00:00Z") == 0


def test_rows_have_all_their_terms_while_an_earlier_version_may_run(api: ApiClient, before_sets: None) -> None:
    send_and_land(api, alike())
    assert not TermSet.objects.exists()
    assert {len(stored_terms(row)) for row in Record.objects.all()} == {9}


@pytest.mark.django_db(transaction=True)
def test_landing_does_not_wait_for_another_one_that_stores_the_same_set(api: ApiClient, workspace: Workspace) -> None:
    send_and_land(api, alike())
    kept = list(TermSet.objects.values_list("id", flat=True))
    Record.objects.all().delete()
    TermSet.objects.all().delete()
    with another_landing_stores(kept[0], workspace.pk), another_landing_stores(kept[1], workspace.pk):
        send_and_land(api, alike())
        assert {len(stored_terms(row)) for row in Record.objects.all()} == {9}
    assert found(api, "tag=two") == term_sets.FEWEST_RECORDS


def test_workspace_has_a_limited_number_of_sets(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(term_sets, "MOST_WHOLE_SETS", 3)
    monkeypatch.setattr(term_sets, "MOST_SETS", 4)
    for kind in ("message", "call", "email", "document", "meeting_notes"):
        body = [{**one, "_type": kind} for one in alike()]
        send_and_land(api, body)
    assert TermSet.objects.count() == 4
    assert [found(api, f"type={kind}&tag=one") for kind in ("message", "email", "document", "meeting_notes")] == [8] * 4


def test_set_is_removed_after_the_last_record_that_uses_it(api: ApiClient) -> None:
    send_and_land(api, alike())
    used = TermSet.objects.get(terms__len=8)
    unused = TermSet.objects.exclude(pk=used.pk).get()
    not_checked_for_a_day()
    assert term_sets.remove_unused() == 1
    assert list(TermSet.objects.all()) == [used]
    assert term_sets.remove_unused() == 0
    first, *others = Record.objects.all()
    Record.objects.filter(pk__in=[one.pk for one in others]).delete()
    not_checked_for_a_day()
    assert term_sets.remove_unused() == 0
    first.delete()
    not_checked_for_a_day()
    assert term_sets.remove_unused() == 1
    assert unused.pk != used.pk
    send_and_land(api, alike())
    assert found(api, "tag=two") == term_sets.FEWEST_RECORDS


def test_set_is_in_use_although_no_recent_record_uses_it(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    send_and_land(api, alike())
    not_checked_for_a_day()
    recent = term_sets.IN_RECENT_USE.replace("LIMIT 1000", "LIMIT 0")
    monkeypatch.setattr(term_sets, "IN_RECENT_USE", recent)
    assert term_sets.remove_unused() == 1
    assert TermSet.objects.get().terms


@pytest.mark.django_db(transaction=True)
def test_set_that_a_landing_holds_is_not_removed(api: ApiClient) -> None:
    send_and_land(api, alike())
    stored = TermSet.objects.get(terms__len=8)
    Record.objects.all().delete()
    not_checked_for_a_day()
    with another_session() as landing:
        assert landing.execute(term_sets.HOLD, {"ids": [stored.id]}).rowcount == 1
        assert term_sets.remove_unused() == 1
        assert list(TermSet.objects.all()) == [stored]
    assert term_sets.remove_unused() == 1


def test_landing_does_without_sets_that_were_removed(api: ApiClient) -> None:
    send_and_land(api, alike())
    TermSet.objects.all().delete()
    TermSetStart.objects.create(starts_at=Now() + timedelta(hours=1))
    send_and_land(api, alike(9))
    assert found(api, "tag=two") == 9


def test_reprocessing_does_not_restore_a_row_because_a_set_was_stored_since(api: ApiClient, before_sets: None) -> None:
    batch_id = send_and_land(api, alike(3))
    TermSetStart.objects.update(starts_at=Now())
    send_and_land(api, alike(8))
    assert TermSet.objects.exists()
    assert reprocess(int(batch_id[6:])) == Reprocessed(checked=3, restored=0)
    Record.objects.filter(batch_id=int(batch_id[6:])).update(terms=[1], term_set=None)
    assert reprocess(int(batch_id[6:])) == Reprocessed(checked=3, restored=3)
    assert {len(stored_terms(row)) for row in Record.objects.all()} == {2}
    assert found(api, "tag=two") == 11


def test_project_of_records_with_a_set_cannot_be_deleted(api: ApiClient, workspace: Workspace) -> None:
    send_and_land(api, alike())
    project = Project.objects.get(project_id="proj-123", product__workspace=workspace)
    assert workspaces.why_kept(project).endswith("has records: it cannot be deleted.")
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM lake_record WHERE terms IS NOT NULL")
        assert cursor.fetchone() == (0,)
