"""Runs in a copy of the repository with all recipes applied (`tests/deploy/test_recipes.py`): each recipe works."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import override_settings
from django.utils import timezone

from evermuse import retry_policy
from ingest.models import Batch
from ingest.pipeline import claims
from lake import json_schema, processors
from lake.batch_records import records_of
from lake.envelope import Envelope
from lake.envelope_errors import check_schema
from lake.models import Record
from lake.normalization import normalize
from lake.reading import stored
from tests.http_client import ApiClient
from tests.ingest.landing import STORE_IS_AWAY, outcomes, send_and_land
from tests.lake.test_field_rules import REST, STORED
from tests.records import record


def normalized(**fields: Any) -> Any:
    envelope = check_schema(json.dumps(STORED[1][0] | REST | fields).encode())
    assert isinstance(envelope, Envelope), envelope
    return normalize(envelope)


def test_added_processor_runs_beside_the_built_in_one(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with override_settings(EVERMUSE_PROCESSORS=["attachments.processor.AttachmentDownloads", "acme.landed.LogLanded"]):
        both = tuple(processors.load())
    monkeypatch.setattr(processors, "installed", lambda: both)
    batch_id = send_and_land(api, [record(), record()])
    assert api.batch(batch_id)["status"] == "COMPLETE"
    assert "acme.landed" in caplog.text


def test_added_field_of_the_envelope_is_validated_stored_and_described(api: ApiClient) -> None:
    wrong = api.post([record(), record(acme_dialect="de\n"), record(acme_rank=10)]).json()["errors"]
    assert [one["message"] for one in wrong] == [
        r"_acme_dialect: must match the pattern ^[a-z]{2}(?![\s\S])",
        "_acme_rank: must be at most 9",
    ]
    send_and_land(api, record(acme_dialect="de", acme_rank=2, vendor_ids={"id": "1"}))
    shown = next(
        one["record"] for one in api.get("/api/v1/records").json()["records"] if "_acme_dialect" in one["record"]
    )
    assert (shown["_acme_dialect"], shown["_acme_rank"]) == ("de", 2)
    assert json_schema.envelope()["properties"]["_acme_dialect"]["pattern"] == r"^[a-z]{2}(?![\s\S])"


def test_repeated_key_is_found_beside_a_number_that_is_written_longer_than_sent() -> None:
    """``1`` is written as ``1.0``; the two extra characters must not make up for those of a repeated key."""
    text = json.dumps(record(), separators=(",", ":"))
    for number in ("1", "1e0", "2", "2e0", "9.0e0", "0.000001"):
        for twice in (
            '"_tags":[],"_tags":[]',
            '"_nature":"context","_nature":"context"',
            '"_acme_rank":1,"_acme_rank":1',
        ):
            repeated = text[:-1] + f',"_acme_rank":{number},{twice}}}'
            found = check_schema(repeated.encode())
            assert isinstance(found, list), repeated
            assert found[0].message.endswith("is given more than once")
        assert isinstance(check_schema((text[:-1] + f',"_acme_rank":{number}}}').encode()), Envelope)


def test_field_with_its_default_changes_neither_digest_nor_document() -> None:
    assert normalized().digest.hex() == STORED[1][1]
    assert normalized(_acme_rank=1).digest.hex() == normalized(_acme_rank=1.0).digest.hex() == STORED[1][1]
    assert normalized(_acme_rank=2).digest.hex() != STORED[1][1]
    for sent in ({}, {"_acme_rank": 1}, {"_acme_rank": 2.5}, {"_acme_dialect": "de"}):
        landed = normalized(**sent)
        assert stored(json.dumps(STORED[1][0] | REST | sent).encode()).document == landed.document
        assert stored(landed.document).document == landed.document
    assert normalized().envelope.acme_rank == 1.0
    assert b"_acme_rank" not in normalized().document


def test_integer_field_is_a_number_when_a_stored_record_is_read(api: ApiClient) -> None:
    batch_id = send_and_land(api, [record(), record(acme_level=7.0)])
    levels = [one.envelope.acme_level for one in records_of(int(batch_id[6:]))]  # type: ignore[attr-defined]
    assert levels == [5, 7]
    assert b"_acme_level" not in normalized(_acme_level=5).document


def test_record_resent_with_the_default_of_a_field_is_identical(api: ApiClient) -> None:
    send_and_land(api, record(vendor_ids={"id": "1"}))
    assert outcomes(api, send_and_land(api, record(vendor_ids={"id": "1"}, acme_rank=1))) == ["identical"]


def test_added_filter_finds_older_records_after_the_backfill(api: ApiClient) -> None:
    send_and_land(api, [record(nature="context", data={"n": 1}), record()])
    Record.objects.update(terms=[])
    assert api.get("/api/v1/records?acme_nature=context").json()["records"] == []
    out = StringIO()
    call_command("fillfilter", "acme_nature", stdout=out)
    assert json.loads(out.getvalue()) == {"filter": "acme_nature", "records": 2, "filled": 2}
    (found,) = api.get("/api/v1/records?acme_nature=context").json()["records"]
    assert found["record"]["data"] == {"n": 1}
    parameters = api.get("/api/v1/openapi.json").json()["paths"]["/api/v1/records"]["get"]["parameters"]
    assert {"evidence", "guidance", "context"} == set(
        next(one for one in parameters if one["name"] == "acme_nature")["schema"]["enum"]
    )


def test_changed_retry_policy_applies_to_waits_during_landing(api: ApiClient) -> None:
    assert retry_policy.furthest(*retry_policy.LANDING) == 3600
    api.post(record())
    for _ in range(3):
        Batch.objects.update(not_before=None)
        claims.release(claims.claim(), policy=retry_policy.LANDING_STORE, failure=STORE_IS_AWAY)
    not_before = Batch.objects.get().not_before
    assert not_before is not None
    assert not_before > timezone.now() + timedelta(seconds=200)
    assert claims.claim() == []
