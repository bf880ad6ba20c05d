"""POST /records/known returns which versions of records a workspace has."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from ingest.models import Workspace
from lake.models import Record, RecordVersion
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land

KNOWN = "/api/v1/records/known"


def known(api: ApiClient, *digests: str) -> list[str]:
    answer = api.post({"digests": list(digests)}, path=KNOWN)
    assert answer.status_code == 200, answer.content
    found: list[str] = answer.json()["known"]
    return found


def digest(at: str = "2026-01-31T12:00:00Z", *, vendor_id: str = "a", data: bytes = b'{"v":1}') -> str:
    """Returns the digest of the record that `sent` makes, from its normalized text."""
    head = (
        '{"_type":"message","_schema_version":"1.0.0","_event_at":"%s","_nature":"evidence","_vendor_ids":{"id":"%s"},'
        '"_product_id":"prod-abc","_project_ids":["proj-123"]}'
    )
    return hashlib.sha256((head % (at, vendor_id)).encode() + b"\n" + data).hexdigest()


def sent(version: int, vendor_id: str = "a") -> bytes:
    return (
        b'{"_type":"Message","_schema_version":"1.0.0","_event_at":"2026-01-31T12:00:00.7Z","_vendor_ids":{"id":"%s"},'
        b'"_product_id":"prod-abc","_project_id":"proj-123","data":{"v":%d}}'
    ) % (vendor_id.encode(), version)


def test_versions_are_current_replaced_or_unknown_in_the_order_of_the_request(api: ApiClient) -> None:
    first, second = digest(), digest(data=b'{"v":2}')
    assert known(api, first) == ["unknown"]
    send_and_land(api, sent(1))
    assert known(api, second, first, digest(vendor_id="b")) == ["unknown", "current", "unknown"]
    send_and_land(api, sent(2))
    assert known(api, first, second, first) == ["replaced", "current", "replaced"]
    send_and_land(api, sent(1))
    assert known(api, first, second) == ["current", "replaced"]


def test_known_versions_depend_on_the_exact_bytes_of_data(api: ApiClient) -> None:
    send_and_land(api, sent(1))
    assert known(api, digest(data=b'{"v": 1}'), digest(data=b'{"v":1.0}')) == ["unknown", "unknown"]


def test_versions_of_another_workspace_are_unknown(
    api: ApiClient, new_client: Callable[..., ApiClient], other_workspace: Workspace
) -> None:
    other = new_client(of=other_workspace)
    for version in (1, 2):
        send_and_land(other, sent(version))
    assert known(api, digest(), digest(data=b'{"v":2}')) == ["unknown", "unknown"]
    assert known(other, digest(), digest(data=b'{"v":2}')) == ["replaced", "current"]


def test_rows_store_first_16_bytes_of_digest(api: ApiClient) -> None:
    for version in (1, 2):
        send_and_land(api, sent(version))
    rows = [RecordVersion.objects.get().digest, Record.objects.get().digest]
    assert [bytes(row or b"").hex() for row in rows] == [digest()[:32], digest(data=b'{"v":2}')[:32]]


def test_versions_with_whole_digests_in_their_rows_are_known(api: ApiClient) -> None:
    for version in (1, 2):
        send_and_land(api, sent(version))
    RecordVersion.objects.update(digest=bytes.fromhex(digest()))
    Record.objects.update(digest=bytes.fromhex(digest(data=b'{"v":2}')))
    assert known(api, digest(), digest(data=b'{"v":2}')) == ["replaced", "current"]


def test_digests_that_share_only_a_prefix_are_unknown(api: ApiClient) -> None:
    send_and_land(api, sent(1))
    assert known(api, digest()[:30] + "0" * 34, digest()[:14] + "0" * 50) == ["unknown", "unknown"]


@pytest.mark.parametrize("permissions", [["api:read"], ["api:write"]])
def test_known_versions_require_read_or_write_permission(
    new_client: Callable[..., ApiClient], permissions: list[str]
) -> None:
    assert known(new_client(permissions=permissions), "0" * 64) == ["unknown"]


def test_key_without_read_or_write_permission_gets_a_403_for_known_versions(
    new_client: Callable[..., ApiClient],
) -> None:
    answer = new_client(permissions=["mcp:read"]).post({"digests": ["0" * 64]}, path=KNOWN)
    assert answer.status_code == 403


def test_request_for_a_thousand_digests_is_answered(api: ApiClient) -> None:
    assert known(api, *(f"{n:064x}" for n in range(1000))) == ["unknown"] * 1000


@pytest.mark.parametrize(
    "body",
    [
        {}, [], {"digests": []}, {"digests": ["0" * 64] * 1001}, {"digests": ["0" * 63]}, {"digests": ["A" * 64]},
        {"digests": ["g" * 64]}, {"digests": [1]}, {"digests": "0" * 64}, {"digests": ["0" * 64 + "\n"]},
        {"digests": ["0" * 64], "more": 1},
    ],
)  # fmt: skip
def test_invalid_request_for_known_versions_gets_a_400(api: ApiClient, body: Any) -> None:
    answer = api.post(body, path=KNOWN)
    assert (answer.status_code, answer.json()["error"]) == (400, "INVALID_BODY")


def test_known_versions_allow_post_only(api: ApiClient) -> None:
    assert api.get(KNOWN).status_code == 405
