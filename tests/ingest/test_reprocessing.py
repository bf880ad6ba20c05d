"""Reprocessing from the archive restores lost and damaged rows, keeps later versions, and ignores a damaged archive."""

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from evermuse.errors import ArchiveDamaged
from ingest.pipeline.reprocessing import Reprocessed, reprocess
from lake import object_store
from lake.models import Record, Segment
from tests.http_client import ApiClient
from tests.ingest.landing import data_of, outcomes, send_and_land, versions
from tests.lake.index_rows import stored_terms
from tests.records import record


def number(batch_id: str) -> int:
    return int(batch_id[6:])


def test_lost_and_damaged_rows_are_restored(api: ApiClient) -> None:
    sent = [record(vendor_ids={"id": str(n)}, data={"n": n, "text": "a\nb"}) for n in range(5)]
    batch_id = send_and_land(api, [{"bad": 1}, *sent])
    before = {row.pk: (row.version, row.digest, stored_terms(row), data_of(row)) for row in Record.objects.all()}
    lost, damaged, *_ = Record.objects.order_by("pk")
    lost.delete()
    Record.objects.filter(pk=damaged.pk).update(terms=[1], body_offset=0, digest=b"x" * 32)
    assert reprocess(number(batch_id)) == Reprocessed(checked=5, restored=2)
    assert {
        row.pk: (row.version, row.digest, stored_terms(row), data_of(row)) for row in Record.objects.all()
    } == before
    assert reprocess(number(batch_id)) == Reprocessed(checked=5, restored=0)
    assert outcomes(api, batch_id) == ["rejected", *["created"] * 5]


def test_row_whose_terms_are_in_another_order_is_not_damaged(api: ApiClient) -> None:
    batch_id = send_and_land(api, [record(tags=["a", "b"])])
    terms = Record.objects.get().terms
    assert terms is not None
    assert len(terms) > 1
    Record.objects.update(terms=terms[::-1])
    assert reprocess(number(batch_id)) == Reprocessed(checked=1, restored=0)


def test_row_of_150000_terms_is_compared_within_the_statement_timeout(api: ApiClient) -> None:
    """Comparing every pair of terms would take longer than a statement may."""
    batch_id = send_and_land(api, [record(vendor_ids={f"id{n}": "m" for n in range(150_000)})])
    assert reprocess(number(batch_id)) == Reprocessed(checked=1, restored=0)
    terms = Record.objects.get().terms
    assert terms is not None
    Record.objects.update(terms=[*terms[1:], terms[-1]])
    assert reprocess(number(batch_id)) == Reprocessed(checked=1, restored=1)
    assert Record.objects.get().terms == terms


def test_later_version_is_kept_and_only_its_own_batch_restores_it(api: ApiClient) -> None:
    first = send_and_land(api, [versions("1")])
    second = send_and_land(api, [versions("2")])
    assert reprocess(number(first)).restored == 0
    assert Record.objects.get().batch_id == number(second)
    first_accepted_at = Record.objects.get().first_accepted_at
    Record.objects.all().delete()
    assert reprocess(number(first)).restored == 0
    assert not Record.objects.exists()
    assert reprocess(number(second)).restored == 1
    row = Record.objects.get()
    assert (row.version, row.batch_id, b'"2"' in data_of(row)) == (2, number(second), True)
    assert row.first_accepted_at == first_accepted_at


@pytest.mark.parametrize("content", [b"another object", None])
def test_damaged_or_missing_object_changes_nothing_and_is_reported(api: ApiClient, content: bytes | None) -> None:
    batch_id = send_and_land(api, [record()])
    key = Segment.objects.get().key
    if content is None:
        object_store.client().remove_object("evermuse-lake", key)
    else:
        object_store.put(key, content, "application/zstd")
    Record.objects.all().delete()
    with pytest.raises(
        ArchiveDamaged, match="shorter than what was stored" if content else "the object store has no s3://"
    ):
        reprocess(number(batch_id))
    assert not Record.objects.exists()


def test_admin_reports_how_many_rows_were_restored(api: ApiClient, client: Client) -> None:
    batch_id = send_and_land(api, [record()])
    Record.objects.all().delete()
    client.force_login(get_user_model().objects.create_superuser("admin"))
    url = reverse("admin:ingest_batch_act", args=[number(batch_id)])
    page = client.post(url, {"act": "reprocess"}, follow=True).content.decode()
    assert "rows of the index restored: 1." in page
    assert Record.objects.count() == 1
