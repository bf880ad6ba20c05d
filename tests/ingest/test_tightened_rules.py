"""A record that landed before a rule was tightened can still be read and reprocessed."""

import json

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from ingest.pipeline.reprocessing import Reprocessed, reprocess
from lake import formats
from lake.envelope_errors import check_schema
from lake.models import Record
from tests.http_client import NDJSON, ApiClient, lines
from tests.ingest.landing import send_and_land
from tests.records import record


@pytest.fixture
def retired(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> str:
    """A batch of one record whose type was valid when it landed and is not any more; another record lands after it."""
    with monkeypatch.context() as then:
        then.setattr(formats, "RECORD_TYPES", formats.RECORD_TYPES | {"fax"})
        batch_id = send_and_land(api, record(type="FAX", project_ids=None, project_id="proj-123", data={"n": 1.0}))
    send_and_land(api, record())
    assert isinstance(check_schema(json.dumps(record(type="fax")).encode()), list)
    return batch_id


def test_record_of_a_retired_type_is_read_in_pages_streams_and_alone(api: ApiClient, retired: str) -> None:
    page = api.get("/api/v1/records").json()["records"]
    found = {one["record"]["_type"]: one for one in page}
    assert set(found) == {"fax", "message"}
    assert found["fax"]["record"]["_project_ids"] == ["proj-123"]
    streamed = [json.loads(line) for line in lines(api.get("/api/v1/records", accept=NDJSON))]
    assert streamed == page
    single = api.get(f"/api/v1/records/{found['fax']['recordId']}")
    assert single.json() == found["fax"]
    assert b'"data":{"n": 1.0}' in single.content


def test_admin_shows_a_record_of_a_retired_type(api: ApiClient, client: Client, retired: str) -> None:
    client.force_login(get_user_model().objects.create_superuser("op", password=None))
    stored = Record.objects.get(batch__type="fax")
    page = client.get(reverse("admin:lake_record_change", args=[stored.pk]))
    assert page.status_code == 200
    assert "&quot;_type&quot;: &quot;fax&quot;" in page.content.decode()


def test_lost_row_of_a_retired_type_is_restored(api: ApiClient, retired: str) -> None:
    Record.objects.filter(batch__type="fax").delete()
    assert reprocess(int(retired[6:])) == Reprocessed(checked=1, restored=1)
    assert Record.objects.filter(batch__type="fax").exists()
