"""GET /api/v1/key describes the API key of the request."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.test import Client

from ingest.clients import api_keys, workspaces
from ingest.models import ApiKey, Workspace
from tests.http_client import ApiClient

PATH = "/api/v1/key"
FIELDS = {"label", "source", "permissions", "rateLimit", "expiresAt", "products"}


def test_key_endpoint_describes_the_key_and_the_products_of_its_workspace(
    new_client: Callable[..., ApiClient], workspace: Workspace, other_workspace: Workspace
) -> None:
    workspaces.ensure(name=workspace.name, products=[("prod-b", []), ("prod-a", ["z", "y"])])
    client = new_client(
        label="reader",
        source="crm",
        permissions=["api:write", "api:read"],
        rate_limit=25,
        expires_at=datetime(2100, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC),
    )
    answer = client.get(PATH)
    assert answer.status_code == 200
    assert answer.json() == {
        "label": "reader",
        "source": "crm",
        "permissions": ["api:read", "api:write"],
        "rateLimit": 25,
        "expiresAt": 4_102_542_245_678,
        "products": [
            {"productId": "prod-a", "projectIds": ["y", "z"]},
            {"productId": "prod-abc", "projectIds": ["proj-123", "proj-456"]},
            {"productId": "prod-b", "projectIds": []},
        ],
    }


@pytest.mark.parametrize("permission", ["api:read", "api:write", "mcp:read", "mcp:write"])
def test_key_endpoint_requires_any_one_permission(new_client: Callable[..., ApiClient], permission: str) -> None:
    answer = new_client(permissions=[permission]).get(PATH)
    assert (answer.status_code, set(answer.json())) == (200, FIELDS)
    assert answer.json()["permissions"] == [permission]


def test_key_without_permissions_gets_a_403_from_the_key_endpoint(new_client: Callable[..., ApiClient]) -> None:
    client = new_client()
    ApiKey.objects.update(permissions=[])
    answer = client.get(PATH)
    assert (answer.status_code, answer.json()["error"]) == (403, "FORBIDDEN")


def test_key_without_expiry_and_limit_is_described_with_nulls(new_client: Callable[..., ApiClient]) -> None:
    answer = new_client(rate_limit=0).get(f"{PATH}/").json()
    assert (answer["rateLimit"], answer["expiresAt"]) == (None, None)


def test_key_without_its_own_limit_is_described_with_the_default_limit(
    new_client: Callable[..., ApiClient], settings: object
) -> None:
    settings.EVERMUSE_RATE_LIMIT = 7  # type: ignore[attr-defined]
    assert new_client(rate_limit=None).get(PATH).json()["rateLimit"] == 7


def test_revoked_key_gets_a_401_from_the_key_endpoint(
    new_client: Callable[..., ApiClient], workspace: Workspace
) -> None:
    client = new_client(label="gone")
    assert client.get(PATH).status_code == 200
    api_keys.revoke(ApiKey.objects.get(workspace=workspace, label="gone"))
    answer = client.get(PATH)
    assert (answer.status_code, answer.json()["error"]) == (401, "UNAUTHORIZED")
    assert Client().get(PATH).status_code == 401


def test_key_endpoint_allows_get_and_head_only(new_client: Callable[..., ApiClient]) -> None:
    client = new_client()
    assert client.post({}, path=PATH).status_code == 405
    head = client.client.head(PATH, headers={"x-api-key": client.key})
    assert (head.status_code, head.content) == (200, b"")
