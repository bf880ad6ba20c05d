"""POST /api/v1/ingest: every rule of the contract, in the test's own process."""

import gzip
import json
from collections.abc import Callable

import pytest

from evermuse.asgi_body import MAX_BODY_BYTES
from ingest.admission import acceptance, bodies
from ingest.models import Batch
from ingest.parsers import MAX_RECORDS
from lake.models import Payload, RejectedRecord
from tests.counted_zlib import CountedZlib
from tests.http_client import NDJSON, ApiClient, gzipped
from tests.records import record


def test_answer_to_one_record_has_exactly_the_fields_of_the_contract(api: ApiClient) -> None:
    answer = api.post(record())
    assert answer.status_code == 202
    body = answer.json()
    assert body == {
        "batchId": body["batchId"],
        "acceptedCount": 1,
        "rejectedCount": 0,
        "totalErrorCount": 0,
        "errors": [],
    }
    assert len(body["batchId"]) <= 128
    assert body["batchId"].replace("_", "").isalnum()


@pytest.mark.parametrize(
    ("body", "content_type", "count"),
    [
        (json.dumps([record(), record()]).encode(), "application/json", 2),
        (json.dumps({"records": [record()]}).encode(), "application/json; charset=utf-8", 1),
        (b"\xef\xbb\xbf" + json.dumps([record()]).encode(), "application/json", 1),
        (b"\n".join(json.dumps(record()).encode() for _ in range(3)), NDJSON, 3),
        (b"\xef\xbb\xbf\r\n \r\n" + json.dumps(record()).encode() + b"\r\n\n", NDJSON, 1),
    ],
)
def test_every_shape_of_body_in_the_contract_is_accepted(
    api: ApiClient, body: bytes, content_type: str, count: int
) -> None:
    answer = api.post(body, content_type=content_type)
    assert (answer.status_code, answer.json()["acceptedCount"]) == (202, count)


def test_ingest_path_works_with_and_without_a_trailing_slash(api: ApiClient) -> None:
    assert [api.post(record(), path=path).status_code for path in ("/api/v1/ingest", "/api/v1/ingest/")] == [202, 202]


def test_ndjson_is_split_at_line_feeds_only(api: ApiClient) -> None:
    raw = json.dumps(record(data={"text": "a\u2028b\u0085c\u000b"}), ensure_ascii=False).encode()
    answer = api.post(raw + b"\n" + raw, content_type=NDJSON)
    assert (answer.json()["acceptedCount"], answer.json()["rejectedCount"]) == (2, 0)


def test_line_that_does_not_parse_is_rejected_without_the_others(api: ApiClient) -> None:
    good = json.dumps(record()).encode()
    body = api.post(b"\n\n" + good + b"\n{nonsense\n" + good, content_type=NDJSON).json()
    assert (body["acceptedCount"], body["rejectedCount"]) == (2, 1)
    assert [(e["index"], e["code"]) for e in body["errors"]] == [(1, "INVALID_JSON")]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "INVALID_JSON"),
        (b"", 400, "INVALID_JSON"),
        (b"\xff", 400, "INVALID_JSON"),
        (b'{"a": NaN}', 400, "INVALID_JSON"),
        (b"[" * 200_000, 400, "INVALID_JSON"),
        (b"5", 400, "INVALID_BODY"),
        (b'"x"', 400, "INVALID_BODY"),
        (b"null", 400, "INVALID_BODY"),
        (b'{"records": {}}', 400, "INVALID_BODY"),
        (b'{"records": [], "more": 1}', 400, "INVALID_BODY"),
        (b"[]", 400, "EMPTY_BATCH"),
        (b'{"records": []}', 400, "EMPTY_BATCH"),
    ],
)
def test_body_of_an_unknown_shape_is_rejected_and_stores_no_batch(
    api: ApiClient, body: bytes, status: int, code: str
) -> None:
    answer = api.post(body)
    assert (answer.status_code, answer.json()["error"]) == (status, code)
    assert Batch.objects.count() == 0


def test_empty_ndjson_body_is_an_empty_batch(api: ApiClient) -> None:
    assert api.post(b"\n \r\n", content_type=NDJSON).json()["error"] == "EMPTY_BATCH"


def test_error_of_invalid_json_has_line_and_column(api: ApiClient) -> None:
    answer = api.post(b'{\n "a": "\xc3\xa4", nonsense}').json()
    assert answer["details"] == {"line": 2, "column": 12}


@pytest.mark.parametrize(
    ("body", "line", "column"),
    [
        (b"\n\n\n{bad", 4, 2),
        (b"   {bad", 1, 5),
        (b"\r\n  [1,\n2", 3, 2),
        (b"\xef\xbb\xbf\n {]", 2, 3),
        (b'\n\n{"a":"\xff"}', 3, 7),
        (b" [1] 2 ", 1, 5),
    ],
)
def test_line_and_column_count_white_space_before_the_body(api: ApiClient, body: bytes, line: int, column: int) -> None:
    answer = api.post(body).json()
    assert (answer["error"], answer["details"]) == ("INVALID_JSON", {"line": line, "column": column})


def test_deeply_nested_data_is_accepted(api: ApiClient) -> None:
    depth = 100_000
    data = b"[" * depth + b"]" * depth
    raw = json.dumps(record()).encode().replace(b'{"text": "hello"}', b'{"deep":' + data + b"}")
    assert api.post(raw).status_code == 202


def test_batch_of_more_than_a_thousand_records_is_rejected(api: ApiClient) -> None:
    one = json.dumps(record()).encode()
    assert api.post(b"[" + b",".join([one] * MAX_RECORDS) + b"]").status_code == 202
    too_many = [one] * (MAX_RECORDS + 1)
    assert api.post(b"[" + b",".join(too_many) + b"]").json()["error"] == "TOO_MANY_RECORDS"
    assert api.post(b"\n".join(too_many), content_type=NDJSON).json()["error"] == "TOO_MANY_RECORDS"


def test_batch_of_more_than_a_thousand_attachments_is_rejected(api: ApiClient) -> None:
    ten = [{"type": "file"}] * 10
    assert api.post([record(attachments=ten) for _ in range(100)]).status_code == 202
    answer = api.post([*(record(attachments=ten) for _ in range(100)), record(attachments=[{"type": "nonsense"}])])
    assert answer.json()["error"] == "TOO_MANY_ATTACHMENTS"


def test_record_with_eleven_attachments_is_rejected_without_the_others(api: ApiClient) -> None:
    body = api.post([record(), record(attachments=[{"type": "file"}] * 11)]).json()
    assert [(e["index"], e["code"]) for e in body["errors"]] == [(1, "VALIDATION_ERROR")]
    assert "_attachments" in body["errors"][0]["message"]


def test_batch_of_two_types_or_two_products_is_rejected(api: ApiClient) -> None:
    assert api.post([record(), record(type="email")]).json()["error"] == "MIXED_BATCH"
    assert api.post([record(), record(product_id="other")]).json()["error"] == "MIXED_BATCH"
    assert api.post([record(type="CALL"), record(type="call")]).status_code == 202


def test_mixed_batch_is_judged_by_its_valid_records_only(api: ApiClient) -> None:
    answer = api.post([record(), record(type="email", schema_version="2")])
    assert (answer.status_code, answer.json()["rejectedCount"]) == (202, 1)


def test_each_unknown_project_and_product_is_reported(api: ApiClient) -> None:
    body = api.post([record(), record(project_ids=["proj-123", "nope", "gone"])]).json()
    assert [(e["index"], e["code"]) for e in body["errors"]] == [(1, "UNKNOWN_PROJECT"), (1, "UNKNOWN_PROJECT")]
    answer = api.post(record(product_id="nobody's"))
    assert (answer.status_code, answer.json()["details"]["errors"][0]["code"]) == (400, "UNKNOWN_PRODUCT")


def test_batch_of_rejected_records_is_stored_as_failed(api: ApiClient) -> None:
    answer = api.post([record(type="email", event_at="yesterday"), {"no": "envelope"}])
    body = answer.json()
    assert (answer.status_code, body["error"]) == (400, "VALIDATION_ERROR")
    details = body["details"]
    assert (details["acceptedCount"], details["rejectedCount"]) == (0, 2)
    assert details["totalErrorCount"] == len(details["errors"])
    batch = api.batch(details["batchId"])
    assert (batch["status"], batch["type"], batch["rejectedCount"]) == ("FAILED", "email", 2)
    assert RejectedRecord.objects.count() == 2
    assert Payload.objects.count() == 1


def test_batch_without_any_valid_type_has_the_type_unknown(api: ApiClient) -> None:
    details = api.post([1, "x"]).json()["details"]
    assert api.batch(details["batchId"])["type"] == "unknown"


def test_rejected_batch_has_the_type_of_its_first_valid_type(api: ApiClient) -> None:
    no_data = record(type="call")
    del no_data["data"]
    details = api.post([record(type="nonsense"), no_data, record(type="message", product_id="nobody's")]).json()[
        "details"
    ]
    assert api.batch(details["batchId"])["type"] == "call"


def test_answer_shows_twenty_errors_and_counts_all(api: ApiClient) -> None:
    body = api.post([record(), *(record(event_at="x", schema_version="x") for _ in range(30))]).json()
    assert (len(body["errors"]), body["totalErrorCount"], body["rejectedCount"]) == (20, 60, 30)
    assert [e["index"] for e in body["errors"]] == sorted(e["index"] for e in body["errors"])


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("text/plain", "identity"),
        ("", "identity"),
        ("application/json; charset=latin-1", "identity"),
        ("application/json", "br"),
    ],
)
def test_unsupported_media_type_or_encoding_gets_a_415(api: ApiClient, content_type: str, encoding: str) -> None:
    answer = api.post(record(), content_type=content_type, content_encoding=encoding)
    assert (answer.status_code, answer.json()["error"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_gzip_body_may_have_several_members(api: ApiClient) -> None:
    first, second = json.dumps(record()).encode() + b"\n", json.dumps(record()).encode()
    answer = api.post(gzipped(first) + gzipped(second), content_type=NDJSON, content_encoding="gzip")
    assert answer.json()["acceptedCount"] == 2


def test_gzip_of_many_members_is_decompressed_without_repeated_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "zlib", counted := CountedZlib())
    empty, count = gzip.compress(b""), 3000
    assert bodies.gunzip(empty * count + gzip.compress(b"a")) == b"a"
    assert 0 < counted.given < count * 10_000


def test_truncated_gzip_and_a_gzip_bomb_are_rejected(api: ApiClient) -> None:
    whole = gzipped(json.dumps(record()).encode())
    assert api.post(whole[:-9], content_encoding="gzip").json()["error"] == "INVALID_BODY"
    assert api.post(b"no gzip", content_encoding="gzip").json()["error"] == "INVALID_BODY"
    bomb = gzipped(bytes(300 * 1024 * 1024))
    assert api.post(bomb, content_encoding="gzip").status_code == 413


def test_body_may_have_five_megabytes_after_decompression(api: ApiClient) -> None:
    raw = json.dumps(record()).encode()
    exact = raw + b" " * (MAX_BODY_BYTES - len(raw))
    assert api.post(exact).status_code == 202
    assert api.post(gzipped(exact), content_encoding="gzip").status_code == 202
    for answer in (api.post(exact + b" "), api.post(gzipped(exact + b" "), content_encoding="gzip")):
        assert (answer.status_code, answer.json()["error"]) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize("query", ["format=pdf", "format=", "format=text&format=text"])
def test_unknown_format_is_rejected(api: ApiClient, query: str) -> None:
    assert api.post(record(), query=query).json()["error"] == "INVALID_BODY"


@pytest.mark.parametrize("name", ["text", "audio", "video", "file"])
def test_every_known_format_is_accepted(api: ApiClient, name: str) -> None:
    assert api.post(record(), query=f"format={name}").status_code == 202


def test_payload_is_stored_exactly_as_sent(api: ApiClient) -> None:
    raw = b" [ " + json.dumps(record()).encode() + b" ]\n"
    api.post(raw)
    payload = Payload.objects.select_related("batch").get()
    assert acceptance.content_of(payload) == raw


def test_batch_ids_sort_in_order_of_acceptance(api: ApiClient) -> None:
    ids = [api.post(record()).json()["batchId"] for _ in range(12)]
    assert ids == sorted(ids)


def test_key_without_write_permission_is_rejected_before_its_body_is_parsed(
    new_client: Callable[..., ApiClient],
) -> None:
    reader = new_client(permissions=["api:read", "mcp:write"])
    answer = reader.post(b"{", content_type="text/plain")
    assert (answer.status_code, answer.json()["error"]) == (403, "FORBIDDEN")
