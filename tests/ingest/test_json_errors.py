"""Outside of the admin no answer is an HTML page, whatever the verb, host or token."""

from functools import cache
from typing import Any

import pytest
import schemathesis
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from ingest.api import documents
from tests.http_client import INGEST

PATHS = (
    "/healthz", "/readyz", "/metrics", "/healthz/", "/api/v1/openapi.json", "/api/v1/docs", "/api/v1/schemas/record.json",
    INGEST, f"{INGEST}/batches", f"{INGEST}/validate", "/api/v1/uploads", "/api/v1/records", "/api", "/api/", "/api/v2/x",
    "/nowhere", "/healthzz",
)  # fmt: skip


@pytest.mark.parametrize("verb", ["post", "put", "patch", "delete", "options", "trace"])
@pytest.mark.parametrize("path", PATHS)
def test_a_wrong_verb_is_answered_in_json(db: None, path: str, verb: str) -> None:
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    answer = getattr(client, verb)(path)
    assert answer.status_code in {401, 404, 405}
    assert set(answer.json()) == {"error", "message"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/api/v1/openapi.json", "/api/v1/docs"])
def test_a_wrong_verb_at_a_probe_says_which_are_right(db: None, path: str) -> None:
    answer = Client(enforce_csrf_checks=True).post(path, {"a": "b"})
    assert (answer.status_code, answer.json()["error"], answer["Allow"]) == (405, "METHOD_NOT_ALLOWED", "GET, HEAD")


def test_a_foreign_host_and_a_post_without_token_are_answered_in_json(db: None) -> None:
    client = Client(enforce_csrf_checks=True)
    answer = client.post("/favicon.ico")
    assert (answer.status_code, answer.json()["error"]) == (403, "FORBIDDEN")
    for path in ("/admin/login/", "/admin/"):
        answer = client.post(path, headers={"host": "evil.example"})
        assert (answer.status_code, answer["Content-Type"]) in {
            (400, "application/json"),
            (403, "text/html; charset=utf-8"),
        }


def test_the_openapi_document_is_valid_3_1(client: Client) -> None:
    document = client.get("/api/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1.")
    assert '"nullable"' not in client.get("/api/v1/openapi.json").content.decode()
    schemathesis.openapi.from_dict(document).validate()


def test_the_validator_refuses_what_is_no_3_1(client: Client) -> None:
    document = client.get("/api/v1/openapi.json").json()
    document["paths"]["/healthz"]["get"]["responses"] = []
    with pytest.raises(Exception, match=r"\[\] is not"):
        schemathesis.openapi.from_dict(document).validate()


def test_the_openapi_document_is_built_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []

    build = SchemaGenerator.get_schema

    def counted(*args: Any, **options: Any) -> Any:
        built.append(1)
        return build(*args, **options)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(SchemaGenerator, "get_schema", counted)
    monkeypatch.setattr(documents, "document", cache(documents.document.__wrapped__))
    answers = {client.get("/api/v1/openapi.json").content for _ in range(3)}
    assert (len(answers), len(built)) == (1, 1)
