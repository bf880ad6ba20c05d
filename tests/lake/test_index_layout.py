"""The index goes over to compact columns while processes of the previous version still run."""

import psycopg
import pytest
from django.db import ProgrammingError, connection, transaction
from django.db.models.functions import Now

from evermuse import prepared
from evermuse.instants import milliseconds
from ingest.models import Batch, Workspace
from ingest.pipeline.landing import land_waiting
from ingest.pipeline.reprocessing import Reprocessed, reprocess
from lake import index, index_layout, terms
from lake.models import IndexTransition, Record
from tests.http_client import ApiClient
from tests.ingest.landing import outcomes, send_and_land, versions
from tests.ingest.sessions import another_session
from tests.lake.index_rows import previous_columns, stored_terms
from tests.records import record

__all__ = ["previous_columns"]
OLD = "SELECT sequence, batch_id, type, product_id, terms, thread_term, vendor_term, term_set FROM lake_record"


def old_rows() -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(OLD)
        return list(cursor.fetchall())


def columns() -> set[str]:
    with connection.cursor() as cursor:
        return {column.name for column in connection.introspection.get_table_description(cursor, "lake_record")}


def over() -> None:
    """An hour has passed since the migration."""
    IndexTransition.objects.update(ends_at=Now())


def found(api: ApiClient, query: str) -> int:
    return len(api.get("/api/v1/records", query).json()["records"])


def test_rows_are_written_as_the_previous_version_reads_them(
    api: ApiClient, workspace: Workspace, previous_columns: None
) -> None:
    one = record(type="message", vendor_ids={"id": "a"}, thread_id="t", tags=["x"])
    first = send_and_land(api, one)
    second = send_and_land(api, one)
    assert outcomes(api, second) == ["identical"]
    [(sequence, batch_id, kind, product, stored, *others)] = old_rows()
    assert (sequence, batch_id, kind, product) == (int(second[6:]), int(first[6:]), "message", one["_product_id"])
    assert isinstance(stored, list)
    assert {terms.term(workspace.pk, "thread", "t"), terms.term(workspace.pk, "vendor", "id:a")} < set(stored)
    assert others == [None, None, None]
    assert index_layout.last_sender(Record.objects.get()) == sequence
    for query in ("thread_id=t", "vendor_id=id:a", "tag=x", "type=message"):
        assert found(api, query) == 1, query
    assert reprocess(int(first[6:])) == Reprocessed(checked=1, restored=0)


def test_old_columns_stay_until_their_hour_is_over(api: ApiClient, previous_columns: None) -> None:
    send_and_land(api, versions("1"))
    assert not index_layout.complete()
    assert {"sequence", "type", "product_id"} < columns()


def test_rows_of_the_previous_version_keep_their_order_and_are_found(
    api: ApiClient, workspace: Workspace, previous_columns: None
) -> None:
    kept = record(vendor_ids={"id": "kept"}, thread_id="t", tags=["x"])
    first = send_and_land(api, kept)
    again = send_and_land(api, kept)
    over()
    assert index_layout.complete()
    assert not index_layout.complete()
    assert columns().isdisjoint({"sequence", "type", "product_id"})
    row = Record.objects.get()
    assert (row.batch_id, row.resent_by, row.last_sender) == (int(first[6:]), int(again[6:]), int(again[6:]))
    later = send_and_land(api, [kept, record(vendor_ids={"id": "new"}, thread_id="t", tags=["x"])])
    assert outcomes(api, later) == ["identical", "created"]
    assert Record.objects.get(pk=row.pk).last_sender == int(later[6:])
    for query, count in (("thread_id=t", 2), ("vendor_id=id:kept", 1), ("vendor_id=id:new", 1), ("tag=x", 2)):
        assert found(api, query) == count, query
    assert reprocess(int(first[6:])) == Reprocessed(checked=1, restored=0)
    changed = send_and_land(api, {**kept, "data": {"changed": True}})
    row = Record.objects.get(pk=row.pk)
    assert (row.batch_id, row.resent_by, row.version) == (int(changed[6:]), None, 2)
    assert row.thread_term == terms.term(workspace.pk, "thread", "t")
    assert row.thread_term not in (row.terms or ())


def test_process_of_the_previous_version_fails_once_the_old_columns_are_dropped(
    api: ApiClient, previous_columns: None
) -> None:
    over()
    assert index_layout.complete()
    for statement in (OLD, "SELECT sequence FROM lake_record r WHERE r.id = ANY('{}')"):
        with pytest.raises(ProgrammingError, match="does not exist"), transaction.atomic():
            prepared.rows(statement, {})
    for statement in (index.WIDE_INSERT, index.WIDE_ADVANCE):
        assert "sequence" in statement


@pytest.mark.django_db(transaction=True)
def test_columns_are_not_dropped_while_a_transaction_uses_the_table() -> None:
    IndexTransition.objects.create(ends_at=Now())
    with another_session() as landing:
        assert landing.execute(index_layout.IS_COMPACT).fetchone() == (False, [])
        assert not index_layout.complete()
    # Not again at once, because lists and landings wait for each attempt.
    assert not index_layout.complete()
    assert IndexTransition.objects.filter(ends_at__gt=Now()).count() == 1
    IndexTransition.objects.all().delete()


@pytest.mark.django_db(transaction=True)
def test_landing_that_waited_for_the_new_columns_writes_them() -> None:
    transition = IndexTransition.objects.create(ends_at=Now())
    with another_session() as dropping, another_session() as landing:
        dropping.execute("LOCK TABLE lake_record IN ACCESS EXCLUSIVE MODE")
        dropping.execute("DELETE FROM lake_indextransition WHERE id = %s", [transition.pk])
        landing.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            landing.execute(index_layout.IS_COMPACT)
        dropping.commit()
        landing.rollback()
        assert landing.execute(index_layout.IS_COMPACT).fetchone() == (True, [])


def test_older_version_that_lands_late_does_not_overwrite(api: ApiClient) -> None:
    """Also if the newer one was only sent again since, which the row notes beside the batch that wrote it."""
    send_and_land(api, versions("1"))
    again = send_and_land(api, versions("1"))
    row = Record.objects.get()
    assert (row.resent_by, row.last_sender) == (int(again[6:]), int(again[6:]))
    Record.objects.update(resent_by=row.last_sender + 1000)
    late = send_and_land(api, versions("2"))
    assert outcomes(api, late) == ["superseded"]
    Record.objects.update(resent_by=None)
    assert outcomes(api, send_and_land(api, versions("2"))) == ["updated"]


def test_record_with_several_vendor_ids_is_found_by_each(api: ApiClient) -> None:
    send_and_land(api, record(vendor_ids={"a": "1", "b": "2", "c": "3"}))
    assert [found(api, f"vendor_id={one}") for one in ("a:1", "b:2", "c:3", "a:2")] == [1, 1, 1, 0]
    assert len(stored_terms(Record.objects.get())) > 3


def test_first_acceptance_is_that_of_the_batch_until_another_one_overwrites_the_record(
    api: ApiClient, workspace: Workspace
) -> None:
    def shown() -> int:
        [one] = api.get("/api/v1/records", "").json()["records"]
        return int(one["firstAcceptedAt"])

    accepted = milliseconds(Batch.objects.get(pk=int(send_and_land(api, versions("1"))[6:])).created_at)
    assert Record.objects.get().first_accepted_at is None
    assert shown() == accepted
    for body, version in (("1", 1), ("2", 2), ("3", 3), ("3", 3)):
        send_and_land(api, versions(body))
        assert (Record.objects.get().version, shown()) == (version, accepted)
    assert Record.objects.get().first_accepted_at is not None


def test_versions_of_one_landing_note_the_first_acceptance(api: ApiClient) -> None:
    first, *_ = [api.post([versions(body)]).json()["batchId"] for body in ("1", "2", "3")]
    land_waiting()
    row = Record.objects.get()
    assert (row.version, row.first_accepted_at) == (3, Batch.objects.get(pk=int(first[6:])).created_at)
