"""The two statements of the index, and what happens to rows that are removed between them."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from evermuse import prepared
from ingest.pipeline import landing as pipeline
from lake import index
from lake.models import Record, RecordVersion
from tests.http_client import ApiClient
from tests.ingest.landing import data_of, outcomes, send_and_land, versions
from tests.records import record


def test_new_identical_and_updated_records_of_one_batch_get_their_outcomes(api: ApiClient) -> None:
    same = record(vendor_ids={"id": "kept"})
    first = send_and_land(api, [versions("1"), same])
    batch_id = send_and_land(api, [record(), same, versions("2"), record()])
    assert outcomes(api, batch_id) == ["created", "identical", "updated", "created"]
    (past,) = RecordVersion.objects.all()
    assert (past.version, past.batch_id, past.replaced_by_id) == (1, int(first[6:]), int(batch_id[6:]))


def test_record_is_identical_to_row_with_whole_digest(api: ApiClient) -> None:
    send_and_land(api, versions("1"))
    whole = hashlib.sha256(b"whole").digest()
    short = bytes(Record.objects.get().digest)
    Record.objects.update(digest=short + whole[16:])
    assert outcomes(api, send_and_land(api, versions("1"))) == ["identical"]
    assert bytes(Record.objects.get().digest) == short


@pytest.mark.django_db
def test_new_installation_has_no_dropped_columns_in_lake_record() -> None:
    # Each row would need a bitmap for them.
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_attribute WHERE attrelid = 'lake_record'::regclass AND attisdropped")
        assert cursor.fetchone() == (0,)


def test_record_removed_between_the_two_statements_is_inserted_again(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_and_land(api, [versions("1"), record()])
    removed: list[int] = []

    def rows(statement: str, parameters: Any, **options: Any) -> list[tuple[Any, ...]]:
        if statement == index.ADVANCE and not removed:
            removed.append(Record.objects.filter(version=1).delete()[0])
        return real(statement, parameters, **options)

    real = prepared.rows
    monkeypatch.setattr(prepared, "rows", rows)
    batch_id = send_and_land(api, versions("2"))
    assert removed == [2]
    assert outcomes(api, batch_id) == ["created"]
    stored = Record.objects.get()
    assert (stored.version, stored.batch_id, data_of(stored)) == (1, int(batch_id[6:]), b'{"v": "2"}')


def test_landing_of_new_records_only_takes_one_statement(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def rows(statement: str, parameters: Any, **options: Any) -> list[tuple[Any, ...]]:
        ran.append(statement)
        return real(statement, parameters, **options)

    real = prepared.rows
    monkeypatch.setattr(prepared, "rows", rows)
    api.post([record() for _ in range(5)])
    pipeline.land_waiting()
    assert index.INSERT in ran
    assert index.ADVANCE not in ran
    assert Record.objects.filter(updated_at__lte=datetime.now(UTC)).count() == 5
