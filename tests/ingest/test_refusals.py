"""Authentication, the order in which requests are rejected, and the common shape of all rejections."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from ingest.clients import api_keys
from ingest.models import ApiKey, Workspace
from tests.http_client import INGEST, ApiClient
from tests.records import record

BATCHES = f"{INGEST}/batches"


def refused(answer: Any) -> tuple[int, str]:
    """Checks the shape of an error answer and returns its status and code."""
    body = answer.json()
    assert set(body) - {"details", "retryAfter"} == {"error", "message"}
    assert answer["Content-Type"].startswith("application/json")
    assert ("retryAfter" in body) == (answer.status_code in {409, 429, 503})
    if "retryAfter" in body:
        assert answer["Retry-After"] == str(body["retryAfter"])
    return answer.status_code, body["error"]


def test_missing_malformed_unknown_revoked_and_expired_keys_get_the_same_answer(
    api: ApiClient, workspace: Workspace
) -> None:
    revoked = api_keys.create(workspace=workspace, label="revoked")
    api_keys.revoke(revoked.api_key)
    expired = api_keys.create(workspace=workspace, label="old", expires_at=timezone.now() - timedelta(seconds=1))
    texts = ["", "nonsense", "em_sk_" + "x" * 43, "em_sk_ä", "em_sk_" + "x" * 5000, revoked.secret, expired.secret]
    answers = [ApiClient(api.client, text).get(BATCHES) for text in texts]
    answers.append(api.client.get(BATCHES))
    assert {refused(answer) for answer in answers} == {(401, "UNAUTHORIZED")}
    assert len({answer.content for answer in answers}) == 1


def test_revoked_key_is_rejected_from_the_next_request_on(api: ApiClient) -> None:
    assert api.get(BATCHES).status_code == 200
    api_keys.revoke(ApiKey.objects.get(digest=api_keys.digest(api.key)))
    assert refused(api.get(BATCHES)) == (401, "UNAUTHORIZED")


def test_key_is_stored_as_a_hash_with_the_time_of_its_last_use(api: ApiClient) -> None:
    api.get(BATCHES)
    key = ApiKey.objects.get(digest=api_keys.digest(api.key))
    assert key.last_used_at is not None
    stored = " ".join(str(value) for value in ApiKey.objects.filter(pk=key.pk).values().get().values())
    assert api.key not in stored
    assert len(api.key) >= len("em_sk_") + 32


@pytest.mark.parametrize(
    ("permissions", "reads", "writes"),
    [(["api:read"], 200, 403), (["api:write"], 200, 202), (["mcp:read", "mcp:write"], 403, 403), ([], 403, 403)],
)
def test_permissions_of_a_key_decide_what_it_may_do(
    new_client: Callable[..., ApiClient], permissions: list[str], reads: int, writes: int
) -> None:
    client = new_client(permissions=permissions)
    assert (client.get(BATCHES).status_code, client.post(record()).status_code) == (reads, writes)


def test_workspace_may_have_ten_live_keys(workspace: Workspace) -> None:
    made = [api_keys.create(workspace=workspace, label=f"k{n}") for n in range(10)]
    with pytest.raises(Exception, match="10 live keys"):
        api_keys.create(workspace=workspace, label="one more")
    api_keys.revoke(made[0].api_key)
    api_keys.create(workspace=workspace, label="one more")


@pytest.mark.parametrize("path", ["/", "/api/v1/nothing", "/api/v1/ingest/batches/x/y/z", "/api/v1/ingest//"])
def test_unknown_path_gets_a_404_without_authentication(api: ApiClient, path: str) -> None:
    assert refused(api.client.get(path)) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", INGEST),
        ("PUT", INGEST),
        ("POST", BATCHES),
        ("DELETE", f"{BATCHES}/x"),
        ("OPTIONS", INGEST),
        ("TRACE", INGEST),
    ],
)
def test_wrong_method_gets_a_405_before_authentication(api: ApiClient, method: str, path: str) -> None:
    answer = api.client.generic(method, path)
    assert refused(answer) == (405, "METHOD_NOT_ALLOWED")
    assert answer["Allow"]


def test_requests_are_rejected_in_the_order_of_the_contract(new_client: Callable[..., ApiClient]) -> None:
    """Each step corrects the fault for which the previous request was rejected."""
    reader = new_client(permissions=["api:read"])
    writer = new_client()
    huge = b"{" * (6 * 1024 * 1024)
    bad_query, bad_key, bad_type = {"query": "format=x"}, {"idempotency_key": ""}, {"content_type": "text/html"}
    assert refused(ApiClient(reader.client, "x").post(huge, **bad_query, **bad_key, **bad_type))[0] == 401
    assert refused(reader.post(huge, **bad_query, **bad_key, **bad_type))[0] == 403
    assert refused(writer.post(huge, **bad_query, **bad_key, **bad_type)) == (400, "INVALID_BODY")
    assert refused(writer.post(huge, **bad_key, **bad_type)) == (400, "INVALID_IDEMPOTENCY_KEY")
    assert refused(writer.post(huge, **bad_type)) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert refused(writer.post(huge)) == (413, "PAYLOAD_TOO_LARGE")
    writer.post(record(), idempotency_key="used")
    assert refused(writer.post(b"{", idempotency_key="used")) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert refused(writer.post(b"{")) == (400, "INVALID_JSON")
    too_many = [record(type="email", attachments=[{"type": "file"}] * 10), *[record()] * 1000]
    assert refused(writer.post(too_many)) == (400, "TOO_MANY_RECORDS")
    attachments = [{"type": "file"}] * 10
    many = [record(type="email"), *(record(attachments=attachments) for _ in range(101))]
    assert refused(writer.post(many)) == (400, "TOO_MANY_ATTACHMENTS")
    assert refused(writer.post([record(type="email"), record(project_ids=["nope"])])) == (400, "MIXED_BATCH")


def test_rate_limit_is_checked_before_the_permission(new_client: Callable[..., ApiClient]) -> None:
    client = new_client(permissions=[], rate_limit=1)
    answers = [client.get(BATCHES) for _ in range(2)]
    assert [refused(answer) for answer in answers] == [(403, "FORBIDDEN"), (429, "RATE_LIMITED")]
    assert answers[1].json()["retryAfter"] >= 1
    assert isinstance(answers[1].json()["retryAfter"], int)


def test_unavailable_database_gets_a_503_in_the_shape_of_the_contract(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: object, **options: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("ingest.api.batches.admit", away)
    assert refused(api.post(record())) == (503, "UNAVAILABLE")


def test_internal_error_gets_a_500_without_details(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    def broken(*args: object, **options: object) -> None:
        calls.append(args)
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("ingest.api.batches.admit", broken)
    answer = api.post(record())
    assert refused(answer) == (500, "INTERNAL_ERROR")
    assert calls
    assert b"secret" not in answer.content


def test_unknown_host_gets_a_400_in_json(api: ApiClient) -> None:
    answer = api.client.get("/admin/login/", headers={"host": "evil.example"})
    assert refused(answer)[0] == 400
