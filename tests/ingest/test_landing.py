"""Landing: outcomes and counts, the last accepted version wins, and data is kept byte for byte."""

import gc
import json
from collections.abc import Callable
from typing import Any

import pytest

from evermuse import prepared
from ingest.models import Batch, Product, Project, Workspace
from ingest.pipeline import landing as pipeline
from lake import archive, rejections
from lake.landing import LandedRecord
from lake.models import Payload, Record, RejectedRecord
from tests.http_client import NDJSON, ApiClient, lines
from tests.ingest.landing import data_of, outcomes, send_and_land, versions
from tests.records import record


def archived(batch_id: str) -> list[bytes]:
    """Returns the lines of a batch in the object store."""
    found = archive.of(int(batch_id[6:]))
    assert found
    return archive.lines(found)


def test_batch_without_attachments_completes_at_landing(api: ApiClient) -> None:
    batch_id = send_and_land(api, [record(), record()])
    assert api.batch(batch_id)["status"] == "COMPLETE"
    assert outcomes(api, batch_id) == ["created", "created"]


def test_landed_bodies_are_freed_without_the_garbage_collector(api: ApiClient) -> None:
    """The collector runs rarely in a worker (`evermuse.garbage_collection`), so a reference cycle would leak memory."""
    gc.collect()
    gc.disable()
    others = {id(one) for one in bodies_in_memory()}
    try:
        send_and_land(api, [record() for _ in range(3)])
        assert [one for one in bodies_in_memory() if id(one) not in others] == []
    finally:
        gc.enable()


def bodies_in_memory() -> list[Payload | LandedRecord]:
    return [one for one in gc.get_objects() if isinstance(one, (Payload, LandedRecord))]


def test_outcomes_are_pending_until_the_batch_lands(api: ApiClient) -> None:
    batch_id = api.post([record(), record(event_at="x")]).json()["batchId"]
    assert outcomes(api, batch_id) == ["pending", "rejected"]


def test_resent_record_is_identical_and_keeps_its_version(api: ApiClient) -> None:
    one = record(project_ids=["proj-123", "proj-456"], vendor_ids={"a": "1", "b": "2"})
    first = send_and_land(api, one)
    before = api.get("/api/v1/records").json()
    one["_project_ids"].reverse()
    one["_vendor_ids"] = {"b": "2", "a": "1"}
    again = send_and_land(api, one)
    assert outcomes(api, again) == ["identical"]
    assert api.get("/api/v1/records").json() == before
    assert before["records"][0]["batchId"] == first


@pytest.mark.parametrize(
    "change", [{"data": {"text":  "other"}}, {"nature": "context"}, {"tags": ["new"]}, {"project_ids": ["proj-456"]}]
)  # fmt: skip
def test_changed_record_replaces_its_previous_version(api: ApiClient, change: dict[str, object]) -> None:
    send_and_land(api, record(vendor_ids={"id": "1"}))
    batch_id = send_and_land(api, record(vendor_ids={"id": "1"}, **change))
    assert outcomes(api, batch_id) == ["updated"]
    (found,) = api.get("/api/v1/records").json()["records"]
    assert (found["version"], found["batchId"]) == (2, batch_id)
    assert all(found["record"][k if k == "data" else f"_{k}"] == v for k, v in change.items())


@pytest.mark.parametrize(
    "change", [{"type": "email"}, {"vendor_ids": {"id": "2"}}, {"vendor_ids": {"id": "1", "more": "1"}},
               {"event_at": "2026-01-31T12:00:01Z"}],
)  # fmt: skip
def test_record_with_a_different_identity_is_created(api: ApiClient, change: dict[str, object]) -> None:
    send_and_land(api, record(vendor_ids={"id": "1"}))
    assert outcomes(api, send_and_land(api, record(**({"vendor_ids": {"id": "1"}} | change)))) == ["created"]


def test_fraction_of_a_second_is_not_part_of_a_records_identity(api: ApiClient) -> None:
    send_and_land(api, record(vendor_ids={"id": "1"}, event_at="2026-01-31T12:00:00.9Z"))
    batch_id = send_and_land(api, record(vendor_ids={"id": "1"}, event_at="2026-01-31T12:00:00.123Z"))
    assert outcomes(api, batch_id) == ["identical"]


def test_later_of_two_versions_in_a_batch_is_stored(api: ApiClient) -> None:
    batch_id = send_and_land(api, [versions("old"), record(), versions("new")])
    assert outcomes(api, batch_id) == ["superseded", "created", "created"]
    assert [r["record"]["data"] for r in api.get("/api/v1/records", "vendor_id=id:same").json()["records"]] == [
        {"v": "new"}
    ]


def test_last_of_many_versions_in_batches_claimed_together_is_stored(api: ApiClient) -> None:
    ids = [api.post([versions(str(n)), record()]).json()["batchId"] for n in range(9)]
    assert pipeline.land_waiting() == 9
    assert [outcomes(api, batch_id)[0] for batch_id in ids] == ["created"] + ["updated"] * 8
    (found,) = api.get("/api/v1/records", "vendor_id=id:same").json()["records"]
    assert (found["version"], found["record"]["data"]) == (9, {"v": "8"})


def test_older_batch_that_lands_later_is_superseded(api: ApiClient) -> None:
    older = api.post(versions("old")).json()["batchId"]
    Batch.objects.update(status="FAILED")
    newer = send_and_land(api, versions("new"))
    Batch.objects.filter(id=int(older[6:])).update(status="LANDING")
    pipeline.land_waiting()
    assert (outcomes(api, newer), outcomes(api, older)) == (["created"], ["superseded"])
    assert api.get("/api/v1/records").json()["records"][0]["record"]["data"] == {"v": "new"}


def test_identical_resend_counts_as_the_latest_version(api: ApiClient) -> None:
    """Versions 1, 2, 1 that land in the order 1, 3, 2 end as version 1."""
    send_and_land(api, versions("1"))
    second = api.post(versions("2")).json()["batchId"]
    Batch.objects.filter(id=int(second[6:])).update(status="FAILED")
    third = send_and_land(api, versions("1"))
    Batch.objects.filter(id=int(second[6:])).update(status="LANDING")
    pipeline.land_waiting()
    assert (outcomes(api, third), outcomes(api, second)) == (["identical"], ["superseded"])
    (found,) = api.get("/api/v1/records").json()["records"]
    assert (found["record"]["data"], found["version"]) == ({"v": "1"}, 1)


def test_worker_rejects_records_whose_project_was_removed_after_acceptance(
    api: ApiClient, workspace: Workspace
) -> None:
    batch_id = api.post([record(), record(project_ids=["proj-456"])]).json()["batchId"]
    Project.objects.filter(workspace=workspace, project_id="proj-456").delete()
    pipeline.land_waiting()
    status = api.batch(batch_id)
    assert (status["acceptedCount"], status["rejectedCount"], status["totalErrorCount"]) == (1, 1, 1)
    assert status["errors"][0]["code"] == "UNKNOWN_PROJECT"
    assert outcomes(api, batch_id) == ["created", "rejected"]
    assert [row["index"] for row in api.rows(batch_id, "errors")] == [1]


def test_batch_rejected_at_landing_fails_and_lands_after_a_retry(api: ApiClient, workspace: Workspace) -> None:
    batch_id = api.post([record()]).json()["batchId"]
    Product.objects.filter(workspace=workspace).delete()
    pipeline.land_waiting()
    status = api.batch(batch_id)
    assert (status["status"], status["acceptedCount"], status["rejectedCount"]) == ("FAILED", 0, 1)
    product = Product.objects.create(workspace=workspace, product_id="prod-abc")
    Project.objects.create(workspace=workspace, product=product, project_id="proj-123")
    retried = api.post(b"", path=f"/api/v1/ingest/batches/{batch_id}/retry")
    assert (retried.status_code, retried.json()["status"]) == (202, "LANDING")
    pipeline.land_waiting()
    status = api.batch(batch_id)
    assert (status["status"], status["acceptedCount"], status["rejectedCount"]) == ("COMPLETE", 1, 0)
    assert api.rows(batch_id, "errors") == []


def test_retry_of_a_batch_without_failures_changes_nothing(api: ApiClient) -> None:
    batch_id = send_and_land(api, record())
    before = api.batch(batch_id)
    answer = api.post(b"", path=f"/api/v1/ingest/batches/{batch_id}/retry")
    assert (answer.status_code, answer.json()) == (202, before)


DATA = [
    b'{"b":1,"a":2,"b":3}',
    b'{ "n" : [1.0, 1e400, -0, 1234567890123456789012345678901234567890, 0.10] }',
    b'{"nul":"\\u0000","lone":"\\ud800","pair":"\\ud83d\\ude00","slash":"\\/"}',
    '{"text":"ä\u2028\u0085😀"}'.encode(),
    b'{"deep":' + b"[" * 3000 + b"]" * 3000 + b"}",
    b"{}",
]


@pytest.mark.parametrize("data", DATA)
def test_data_is_returned_byte_for_byte(api: ApiClient, data: bytes) -> None:
    raw = json.dumps(record()).encode().replace(b'{"text": "hello"}', data)
    batch_id = send_and_land(api, b"[" + raw + b"]")
    (stored,) = Record.objects.all()
    assert data_of(stored) == data
    assert archived(batch_id)[0].endswith(b',"data":' + data + b"}")
    (line,) = lines(api.get("/api/v1/records", accept=NDJSON))
    assert line.endswith(b',"data":' + data + b"}}")
    assert (b'"data":' + data + b"}}") in api.get("/api/v1/records").content
    assert outcomes(api, send_and_land(api, raw)) == ["identical"]


def test_line_breaks_between_tokens_become_spaces_in_ndjson(api: ApiClient) -> None:
    data = b'{\r\n "a": 1,\n "b": "\\n"}'
    raw = json.dumps(record()).encode().replace(b'{"text": "hello"}', data)
    batch_id = send_and_land(api, raw)
    in_a_line = b'{   "a": 1,  "b": "\\n"}'
    assert archived(batch_id)[0].endswith(b',"data":' + in_a_line + b"}")
    assert lines(api.get("/api/v1/records", accept=NDJSON))[0].endswith(b',"data":' + in_a_line + b"}}")
    assert data_of(Record.objects.get()) == data


def test_archive_holds_the_accepted_records_in_normalized_form(
    new_client: Callable[..., ApiClient], workspace: Workspace
) -> None:
    api = new_client(source="my crm")
    sent = [
        record(type="EMAIL", event_at="2026-01-31T12:00:00.5Z", project_ids=None, project_id="proj-123"),
        {"bad": 1},
    ]
    batch_id = send_and_land(api, sent)
    entry = archive.of(int(batch_id[6:]))
    assert entry
    date = Batch.objects.get().created_at.strftime("%Y-%m-%d")
    assert f"/workspace={workspace.name}/source=my%20crm/type=email/date={date}/segment-" in entry.uri
    (line,) = archived(batch_id)
    assert json.loads(line) == {
        "_type": "email",
        "_schema_version": "1.0.0",
        "_event_at": "2026-01-31T12:00:00Z",
        "_nature": "evidence",
        "_vendor_ids": sent[0]["_vendor_ids"],
        "_product_id": "prod-abc",
        "_project_ids": ["proj-123"],
        "data": {"text": "hello"},
    }
    assert api.get("/api/v1/records").json()["records"][0]["storageUri"] == entry.uri


def test_rejected_record_is_returned_exactly_as_sent(api: ApiClient) -> None:
    bad = b'{"_type": "email",\t"x": 1.0, "x": "\\ud800"}'
    body = json.dumps(record()).encode() + b"\n" + bad + b"\n{not json \xff\n"
    batch_id = api.post(body, content_type=NDJSON).json()["batchId"]
    content = api.get(f"/api/v1/ingest/batches/{batch_id}/errors").content
    assert b'"payload":' + bad + b"}" in content
    streamed = lines(api.get(f"/api/v1/ingest/batches/{batch_id}/errors", accept=NDJSON))
    assert [json.loads(line)["index"] for line in streamed] == [1, 2]
    assert json.loads(streamed[1])["payload"] == "{not json \ufffd"
    assert json.loads(streamed[1])["errors"][0]["code"] == "INVALID_JSON"
    errors = json.loads(streamed[0])["errors"]
    assert {e["pointer"] for e in errors} >= {"/x", "/_schema_version", "/_event_at", "/data"}


def test_errors_are_listed_in_pages_by_index(api: ApiClient) -> None:
    batch_id = api.post([record(), *({} for _ in range(25))]).json()["batchId"]
    rows = api.rows(batch_id, "errors")
    assert [row["index"] for row in rows] == list(range(1, 26))
    first = api.get(f"/api/v1/ingest/batches/{batch_id}/errors").json()
    assert len(first["errors"]) == 20
    assert first["nextCursor"] is not None


def rejected_rows(batch_id: str) -> list[tuple[int, int, bool]]:
    rows = RejectedRecord.objects.filter(batch_id=int(batch_id[6:])).order_by("index")
    return list(rows.values_list("id", "index", "awaits_collection"))


def test_rejected_records_are_stored_in_statements_of_limited_size(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    plain = prepared.rows

    def rows(statement: str, values: Any) -> list[tuple[Any, ...]]:
        if statement == rejections.STORE:
            written.append(len(values[-1]))
        return plain(statement, values)

    monkeypatch.setattr(rejections, "PART_BYTES", 3000)
    monkeypatch.setattr(prepared, "rows", rows)
    bad = [record(event_at="é\0", data={"n": n, "t": "x" * 700}) for n in range(10)]
    batch_id = api.post(bad).json()["details"]["batchId"]
    monkeypatch.undo()
    assert len(written) > 3 and sum(written) == 10
    assert [row["payload"]["data"]["n"] for row in api.rows(batch_id, "errors")] == [*range(10)]
    assert {len(row["errors"]) for row in api.rows(batch_id, "errors")} == {1}


def test_landing_keeps_the_rejected_records_that_acceptance_stored(api: ApiClient) -> None:
    batch_id = api.post([record(), {}, record(event_at="x")]).json()["batchId"]
    accepted = rejected_rows(batch_id)
    assert [(index, awaits) for _, index, awaits in accepted] == [(1, False), (2, False)]
    pipeline.land_waiting()
    assert rejected_rows(batch_id) == [(pk, index, True) for pk, index, _ in accepted]


def test_landing_replaces_rejected_records_when_its_result_differs(api: ApiClient, workspace: Workspace) -> None:
    product = Product.objects.create(workspace=workspace, product_id="short-lived")
    batch_id = api.post([record(product_id="short-lived"), {"_type": "message"}]).json()["batchId"]
    before = rejected_rows(batch_id)
    product.delete()
    pipeline.land_waiting()
    after = rejected_rows(batch_id)
    assert [index for _, index, _ in after] == [0, 1]
    assert not {pk for pk, _, _ in before} & {pk for pk, _, _ in after}
    assert api.rows(batch_id, "errors")[0]["errors"][0]["code"] == "UNKNOWN_PRODUCT"
