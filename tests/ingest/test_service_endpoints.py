"""Probes, metrics, the OpenAPI document, pages of the admin, and management commands."""

import io
import json
import os
import signal
from typing import Any
from unittest.mock import patch

import jsonschema
import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import NotSupportedError, connection
from django.test import Client
from django.urls import reverse

from attachments.models import Attachment
from ingest.models import Batch
from tests.http_client import INGEST, ApiClient
from tests.ingest.landing import send_and_land
from tests.records import record


def run(name: str, *words: str) -> Any:
    """Runs a command and returns its JSON."""
    out = io.StringIO()
    call_command(name, *words, stdout=out)
    return json.loads(out.getvalue())


def test_probes_report_each_dependency(db: None, client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ok")
    assert ready.json()["checks"] == {"database": "ok", "broker": "ok", "redis": "ok", "objectStore": "ok"}


def test_readiness_reports_missing_migrations(db: None, client: Client) -> None:
    name = ("attachments", "9999_not_applied")
    with patch("ingest.activity.health._last_migrations", return_value=frozenset({name})):
        ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["database"]) == (503, "not migrated")


def test_readiness_reports_an_unsupported_version_of_postgresql(db: None, client: Client) -> None:
    with patch(
        "ingest.activity.health._is_migrated", side_effect=NotSupportedError("PostgreSQL 16 or later is required")
    ):
        ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["database"]) == (503, "unsupported")


@pytest.mark.django_db(transaction=True)
def test_readiness_answers_while_postgresql_is_frozen(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [backend] = cursor.fetchone()
    os.kill(backend, signal.SIGSTOP)
    try:
        ready = client.get("/readyz")
    finally:
        os.kill(backend, signal.SIGCONT)
    assert (ready.status_code, ready.json()["checks"]["database"]) == (503, "away")
    assert client.get("/readyz").json()["checks"]["database"] == "ok"


@pytest.mark.parametrize(("role", "status"), [("web", 200), ("beat", 200), ("landing", 503), ("attachments", 503)])
def test_readiness_of_a_role_depends_on_the_servers_that_it_needs(
    db: None, client: Client, role: str, status: int
) -> None:
    with patch("lake.object_store.is_up", return_value=False):
        ready = client.get("/readyz", {"role": role})
    assert ready.status_code == status
    assert ready.json()["checks"]["objectStore"] == "away"


def test_readiness_of_an_unknown_role_gets_a_400(db: None, client: Client) -> None:
    refused = client.get("/readyz", {"role": "cook"})
    assert (refused.status_code, refused.json()["message"]) == (
        400,
        "role must be one of web, landing, attachments, maintenance, beat.",
    )


def test_metrics_are_served_to_the_local_host_only(api: ApiClient, client: Client) -> None:
    send_and_land(api, record())
    answer = client.get("/metrics")
    assert b'evermuse_batches{status="COMPLETE"} 1.0' in answer.content
    names = [line.split(b" ")[2] for line in answer.content.splitlines() if line.startswith(b"# TYPE")]
    assert all(name.startswith(b"evermuse_") for name in names)
    assert client.get("/metrics", REMOTE_ADDR="203.0.113.9").status_code == 404


LISTS = ("/api/v1/records", *(f"{INGEST}/batches/{{batch_id}}/{name}" for name in ("errors", "records", "attachments")))


def test_openapi_describes_streams_and_pages_limited_by_bytes(client: Client) -> None:
    paths = client.get("/api/v1/openapi.json").json()["paths"]
    for path in LISTS:
        operation = paths[path]["get"]
        assert "4 streams open at once" in operation["description"]
        limit = next(one for one in operation["parameters"] if one["name"] == "limit")
        assert "8 MiB" in limit["description"] and "nextCursor" in limit["description"]
        assert "read one to its end" in operation["responses"]["429"]["description"]
    assert "stream" not in paths[f"{INGEST}/batches"]["get"]["responses"]["429"]["description"]


def test_openapi_describes_each_error_and_its_retry_after_header(client: Client) -> None:
    paths = client.get("/api/v1/openapi.json").json()["paths"]
    upload = paths["/api/v1/uploads"]["post"]["responses"]
    assert "UPLOAD_QUOTA" in upload["429"]["description"]
    assert "UPLOAD_QUOTA" not in paths[INGEST]["post"]["responses"]["429"]["description"]
    for path, operations in paths.items():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if path.startswith("/api/v1/") and int(status) >= 400:
                    assert answer["description"]
                    assert ("Retry-After" in answer.get("headers", {})) == (status in {"409", "429", "503"})


def test_openapi_lists_every_endpoint_with_its_filters(client: Client) -> None:
    document = client.get("/api/v1/openapi.json").json()
    paths = document["paths"]
    assert set(paths) >= {
        INGEST,
        f"{INGEST}/batches",
        f"{INGEST}/batches/{{batch_id}}",
        f"{INGEST}/batches/{{batch_id}}/errors",
        f"{INGEST}/batches/{{batch_id}}/records",
        f"{INGEST}/batches/{{batch_id}}/attachments",
        f"{INGEST}/batches/{{batch_id}}/retry",
        "/api/v1/records",
        "/api/v1/records/{record_id}",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    filters = {p["name"] for p in paths["/api/v1/records"]["get"]["parameters"]}
    assert filters >= {"type", "product_id", "project_id", "thread_id", "tag", "participant", "vendor_id", "event_since",
                       "event_until", "changed_since", "limit", "cursor"}  # fmt: skip
    assert {p["name"] for p in paths[f"{INGEST}/batches"]["get"]["parameters"]} >= {
        "status",
        "type",
        "source",
        "since",
        "until",
    }
    assert document["components"]["securitySchemes"]["apiKey"]["name"] == "x-api-key"


def test_openapi_describes_the_body_of_each_request_that_has_one(client: Client) -> None:
    paths = client.get("/api/v1/openapi.json").json()["paths"]
    without_body = {
        (path, method)
        for path, operations in paths.items()
        for method, operation in operations.items()
        if method != "get" and "application/json" not in operation.get("requestBody", {}).get("content", {})
    }
    assert without_body == {(f"{INGEST}/batches/{{batch_id}}/retry", "post")}
    fresh_url = paths[f"{INGEST}/batches/{{batch_id}}/attachments/{{attachment_id}}"]["patch"]["requestBody"]
    assert fresh_url["required"] and fresh_url["content"]["application/json"]["schema"]["required"] == ["vendor_url"]


@pytest.mark.parametrize(
    ("path", "valid", "invalid"),
    [
        ("/api/v1/uploads", [{}, {"filename": "", "size": 0}], [[], {"size": -1}, {"size": 2**31 + 1}, {"name": "x"}]),
        ("/api/v1/records/known", [{"digests": ["0" * 64]}], [{}, {"digests": []}, {"digests": ["0"]}, {"x": 1, "digests": ["0" * 64]}]),
        (INGEST, [record(), [record()]], [None, 1, []]),
    ],
)  # fmt: skip
def test_openapi_takes_and_refuses_the_bodies_that_the_endpoint_does(
    client: Client, api: ApiClient, path: str, valid: list[Any], invalid: list[Any]
) -> None:
    document = client.get("/api/v1/openapi.json").json()
    schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    described = jsonschema.Draft202012Validator({**schema, "components": document["components"]})
    for body in [*valid, *invalid]:
        answer = api.post(json.dumps(body).encode(), path=path)
        assert (answer.status_code < 300) == described.is_valid(body) == (body in valid), body


def test_answers_match_the_openapi_document(client: Client, api: ApiClient) -> None:
    document = client.get("/api/v1/openapi.json").json()
    attachments = [{"type": "file", "vendor_url": "http://127.0.0.1:9/x"}]
    batch_id = send_and_land(api, [record(attachments=attachments), {"bad": 1}])
    batch = f"{INGEST}/batches/{batch_id}"
    ledgers = [api.get(f"{batch}/attachments").json()]
    Attachment.objects.update(state=Attachment.State.FAILED, error_code="HTTP_404", error_message="HTTP 404")
    ledgers.append(api.get(f"{batch}/attachments").json())
    assert [one["attachments"][0]["error"] is None for one in ledgers] == [True, False]
    answers = [
        ("/api/v1/ingest/batches", api.get(f"{INGEST}/batches").json()),
        ("/api/v1/ingest/batches/{batch_id}", api.get(batch).json()),
        ("/api/v1/ingest/batches/{batch_id}/errors", api.get(f"{batch}/errors").json()),
        ("/api/v1/ingest/batches/{batch_id}/records", api.get(f"{batch}/records").json()),
        *[("/api/v1/ingest/batches/{batch_id}/attachments", ledger) for ledger in ledgers],
        ("/api/v1/records", api.get("/api/v1/records").json()),
        ("/api/v1/records/removed", api.get("/api/v1/records/removed").json()),
        ("/api/v1/key", api.get("/api/v1/key").json()),
    ]
    for path, answer in answers:
        schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(answer, {**schema, "components": document["components"]})


def test_page_of_the_openapi_document_loads_nothing_from_other_hosts(client: Client) -> None:
    content = client.get("/api/v1/docs").content.decode()
    assert "swagger" in content
    assert "https://" not in content


@pytest.fixture
def admin_client(db: None, client: Client) -> Client:
    get_user_model().objects.create_superuser("admin", "", "secret")
    assert client.login(username="admin", password="secret")
    return client


@pytest.mark.parametrize(
    "model",
    ["ingest_workspace", "ingest_product", "ingest_project", "ingest_apikey", "ingest_batch", "lake_record",
     "lake_rejectedrecord", "attachments_attachment"],
)  # fmt: skip
def test_admin_lists_searches_and_opens_every_kind_of_row(admin_client: Client, api: ApiClient, model: str) -> None:
    send_and_land(api, [record(attachments=[{"type": "file", "vendor_url": "http://127.0.0.1:9/x"}]), {"bad": 1}])
    url = reverse(f"admin:{model}_changelist")
    assert admin_client.get(url).status_code == 200
    assert admin_client.get(url, {"q": "1"}).status_code == 200
    links = [part.split('"')[0] for part in admin_client.get(url).content.decode().split('href="')]
    details = [link for link in links if link.startswith(url) and link.endswith("/change/")]
    assert details
    assert admin_client.get(details[0]).status_code == 200


@pytest.mark.parametrize("model", ["ingest_batch", "lake_record", "lake_rejectedrecord", "attachments_attachment"])
def test_rows_of_the_pipeline_cannot_be_added_in_the_admin(admin_client: Client, model: str) -> None:
    assert admin_client.get(reverse(f"admin:{model}_add")).status_code == 403


def test_admin_redirects_to_a_login(db: None, client: Client) -> None:
    assert client.get("/admin/").status_code == 302


def test_commands_make_a_workspace_and_a_key_and_revoke_the_key(db: None) -> None:
    words = ["acme", "--product", "p", "--project", "q", "--project", "r", "--product", "s"]
    made = {
        "workspace": "acme",
        "products": [{"productId": "p", "projectIds": ["q", "r"]}, {"productId": "s", "projectIds": []}],
    }
    assert run("createworkspace", *words) == run("createworkspace", *words) == made
    key = run(
        "createapikey", "acme", "--label", "crm", "--source", "crm", "--permissions", "api:read", "--rate-limit", "none"
    )
    assert key == {"workspace": "acme", "label": "crm", "apiKey": key["apiKey"], "permissions": ["api:read"]}
    assert ApiClient(Client(), key["apiKey"]).get(f"{INGEST}/batches").status_code == 200
    assert run("revokeapikey", "acme", "crm") == {"workspace": "acme", "label": "crm", "revoked": True}
    assert ApiClient(Client(), key["apiKey"]).get(f"{INGEST}/batches").status_code == 401


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["createapikey", "nobody"], "no workspace 'nobody'"),
        (["createapikey", "acme", "--permissions", "api:all"], "unknown: api:all"),
        (["createapikey", "acme", "--rate-limit", "-1"], "rate-limit"),
        (["revokeapikey", "acme", "x"], "no live key 'x'"),
        (["createworkspace", "a/b"], "slashes"),
        (["createworkspace", "acme", "--project", "q"], "name its --product"),
    ],
)
def test_command_reports_invalid_arguments(db: None, words: list[str], message: str) -> None:
    run("createworkspace", "acme")
    with pytest.raises(CommandError, match=message):
        call_command(*words)


def test_dry_run_returns_all_errors_and_stores_nothing(api: ApiClient) -> None:
    good, bad = record(), [record(tags=[1, 2]), record(event_at="yesterday", surprise=1)]
    answer = api.post([bad[0], good, bad[1]], path="/api/v1/ingest/validate")
    assert answer.status_code == 200
    found = answer.json()
    assert set(found) == {"acceptedCount", "rejectedCount", "totalErrorCount", "errors"}
    assert (found["acceptedCount"], found["rejectedCount"], found["totalErrorCount"]) == (1, 2, 4)
    assert [(error["index"], error["pointer"]) for error in found["errors"]] == [
        (0, "/_tags/0"), (0, "/_tags/1"), (2, "/_event_at"), (2, "/_surprise"),
    ]  # fmt: skip
    assert not Batch.objects.exists()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [(b"{", 400, "INVALID_JSON"), (b"[]", 400, "EMPTY_BATCH"), (b" " * 5_300_000, 413, "PAYLOAD_TOO_LARGE")],
)
def test_dry_run_has_the_same_limits_as_a_batch(api: ApiClient, body: bytes, status: int, code: str) -> None:
    answer = api.post(body, path="/api/v1/ingest/validate")
    assert (answer.status_code, answer.json()["error"]) == (status, code)


def test_record_schema_accepts_and_rejects_what_the_validator_does(client: Client) -> None:
    answer = client.get("/api/v1/schemas/record.json")
    assert answer["Content-Type"] == "application/schema+json"
    schema = jsonschema.Draft202012Validator(answer.json())
    jsonschema.Draft202012Validator.check_schema(answer.json())
    assert schema.is_valid(record(type="Call_Transcription", pii={"sensitive_score": 0.5}, participants=[]))
    bad = [
        record(type="letter"), record(event_at="2026-01-31"), record(project_ids=None), record(vendor_ids={}),
        record(tags=["x" * 65]), record(data=[]), record(surprise=1), record(schema_version="2.0.0"),
    ]  # fmt: skip
    assert [schema.is_valid(one) for one in bad] == [False] * len(bad)
