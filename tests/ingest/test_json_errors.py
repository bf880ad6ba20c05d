"""Every error outside of the admin is JSON, whatever the method, host or token."""

from functools import cache
from typing import Any

import pytest
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
def test_error_of_a_wrong_method_is_json(db: None, path: str, verb: str) -> None:
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    answer = getattr(client, verb)(path)
    assert answer.status_code in {401, 404, 405}
    assert set(answer.json()) == {"error", "message"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/api/v1/openapi.json", "/api/v1/docs"])
def test_405_of_a_service_endpoint_lists_the_allowed_methods(db: None, path: str) -> None:
    answer = Client(enforce_csrf_checks=True).post(path, {"a": "b"})
    assert (answer.status_code, answer.json()["error"], answer["Allow"]) == (405, "METHOD_NOT_ALLOWED", "GET, HEAD")


def test_error_of_a_missing_csrf_token_is_json(db: None) -> None:
    answer = Client(enforce_csrf_checks=True).post("/favicon.ico")
    assert (answer.status_code, answer.json()["error"]) == (403, "FORBIDDEN")


def validate(document: dict[str, Any]) -> None:
    import schemathesis  # takes a second

    schemathesis.openapi.from_dict(document).validate()


def test_openapi_document_is_valid_3_1(client: Client) -> None:
    document = client.get("/api/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1.")
    assert '"nullable"' not in client.get("/api/v1/openapi.json").content.decode()
    validate(document)


def test_openapi_validator_rejects_an_invalid_document(client: Client) -> None:
    document = client.get("/api/v1/openapi.json").json()
    document["paths"]["/healthz"]["get"]["responses"] = []
    with pytest.raises(Exception, match=r"\[\] is not"):
        validate(document)


def test_openapi_document_is_built_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []

    build = SchemaGenerator.get_schema

    def counted(*args: Any, **options: Any) -> Any:
        built.append(1)
        return build(*args, **options)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(SchemaGenerator, "get_schema", counted)
    monkeypatch.setattr(documents, "document", cache(documents.document.__wrapped__))
    answers = {client.get("/api/v1/openapi.json").content for _ in range(3)}
    assert (len(answers), len(built)) == (1, 1)
