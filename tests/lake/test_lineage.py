"""Lineage: each replaced version of a record leaves a row; a record written once leaves none."""

from uuid import UUID

from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from lake import frames, record_search, terms
from lake.frames import Place
from lake.models import Record, RecordVersion
from tests.http_client import ApiClient
from tests.ingest.landing import outcomes, send_and_land, versions
from tests.records import record


def _columns(row: Record) -> dict[str, object]:
    return {column.attname: getattr(row, column.attname) for column in Record._meta.concrete_fields}


def number(batch_id: str) -> int:
    return int(batch_id[6:])


def test_only_replaced_versions_leave_a_lineage_row(api: ApiClient) -> None:
    first = send_and_land(api, [versions("1")])
    assert outcomes(api, send_and_land(api, [versions("1")])) == ["identical"]
    assert not RecordVersion.objects.exists()
    second, third = send_and_land(api, [versions("2")]), send_and_land(api, [versions("3")])
    rows = RecordVersion.objects.order_by("version")
    assert [(row.version, row.batch_id, row.replaced_by_id) for row in rows] == [
        (1, number(first), number(second)),
        (2, number(second), number(third)),
    ]
    places = [Place(row.batch_id, row.body_offset, row.body_size) for row in rows]
    assert [b'"v": "%d"' % n in frames.read(places)[place] for n, place in enumerate(places, 1)] == [True, True]


def test_versions_that_land_together_leave_a_lineage_row_each(api: ApiClient) -> None:
    for text in ("1", "2"):
        assert api.post([versions(text)]).status_code == 202
    send_and_land(api, [versions("3")])
    assert list(RecordVersion.objects.order_by("version").values_list("version", flat=True)) == [1, 2]
    assert Record.objects.get().version == 3


def test_page_of_a_record_shows_its_request_and_earlier_versions(api: ApiClient, client: Client) -> None:
    first = send_and_land(api, [versions("before")])
    second = send_and_land(api, [versions("after")])
    client.force_login(get_user_model().objects.create_superuser("admin"))
    page = client.get(reverse("admin:lake_record_change", args=[Record.objects.get().pk])).content.decode()
    assert first in page
    assert second in page
    assert "<summary>The bytes of the request</summary>" in page
    assert "&quot;_schema_version&quot;: &quot;1.0.0&quot;" in page


def test_search_covers_every_workspace_that_has_records(api: ApiClient) -> None:
    assert record_search.workspace_ids() == []
    send_and_land(api, [record()])
    shown = Record.objects.get()
    Record.objects.bulk_create(
        Record(**{**_columns(shown), "id": UUID(int=n), "workspace_id": shown.workspace_id + n // 2}) for n in range(6)
    )
    assert record_search.workspace_ids() == [shown.workspace_id + n for n in range(3)]


def test_search_finds_records_by_exact_id_thread_or_tag(api: ApiClient, client: Client) -> None:
    send_and_land(api, [record(vendor_ids={"crm": "4711"}, thread_id="t-1", tags=["vip"]), record(tags=["other"])])
    client.force_login(get_user_model().objects.create_superuser("admin"))
    url = reverse("admin:lake_record_changelist")
    (wanted_id,) = record_search.ids_of([terms.term(Record.objects.all()[0].workspace_id, "tag", "vip")])
    wanted = Record.objects.get(pk=wanted_id)
    others = Record.objects.exclude(pk=wanted.pk).get()
    for text in ("crm:4711", "t-1", "vip", wanted.public_id):
        page = client.get(url, {"q": text}).content.decode()
        assert (wanted.public_id in page, others.public_id in page) == (True, False), text
    assert wanted.public_id not in client.get(url, {"q": "vi"}).content.decode()
