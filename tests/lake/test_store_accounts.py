"""Bootstrap makes the product's bucket, users and policies through the admin interface of a MinIO server."""

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from minio.crypto import decrypt

from evermuse.checks import check_settings
from lake import store_accounts

ROOT, PASSWORD = "the-root", "the-root's password"


class FakeMinio(BaseHTTPRequestHandler):
    """Records all requests; has no bucket yet."""

    asked: list[tuple[str, str, dict[str, str], bytes]]
    is_minio = True

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        is_known = True
        if parts.path == "/minio/health/live":
            is_known = self.is_minio
        else:
            assert f"Credential={ROOT}/" in self.headers["Authorization"]
            self.asked.append((self.command, parts.path, query, body))
        self.send_response(200 if is_known and self.command != "HEAD" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_PUT = do_GET = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing."""


@pytest.fixture
def asked(settings: Any) -> Iterator[list[tuple[str, str, dict[str, str], bytes]]]:
    found: list[tuple[str, str, dict[str, str], bytes]] = []
    handler = type("Handler", (FakeMinio,), {"asked": found})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings.MINIO_ENDPOINT, settings.MINIO_BUCKET = f"127.0.0.1:{server.server_port}", "lake"
        settings.MINIO_ACCESS_KEY, settings.MINIO_SECRET_KEY = "product", "product's secret"
        settings.MINIO_UPLOAD_ACCESS_KEY, settings.MINIO_UPLOAD_SECRET_KEY = "uploads", "uploads' secret"
        yield found
        server.shutdown()


def secret_in(body: bytes) -> str:
    """Decrypts a request with the root's password, as MinIO does."""
    answer = urllib3.HTTPResponse(io.BytesIO(body), preload_content=False)
    return str(json.loads(decrypt(answer, PASSWORD))["secretKey"])


def test_bootstrap_makes_the_bucket_and_both_users_with_their_policies(
    asked: list[tuple[str, str, dict[str, str], bytes]],
) -> None:
    store_accounts.ensure(root_user=ROOT, root_password=PASSWORD)
    assert [(method, path) for method, path, _, _ in asked[:2]] == [("HEAD", "/lake"), ("PUT", "/lake")]
    admin = {}
    for _, path, query, body in asked[2:]:
        command = path.removeprefix("/minio/admin/v3/")
        admin[command, query.get("name") or query.get("accessKey") or query["userOrGroup"]] = (query, body)
    assert set(admin) == {
        (command, user)
        for command in ("add-canned-policy", "add-user", "set-user-or-group-policy")
        for user in ("product", "uploads")
    }
    assert secret_in(admin["add-user", "product"][1]) == "product's secret"
    assert secret_in(admin["add-user", "uploads"][1]) == "uploads' secret"
    for user in ("product", "uploads"):
        assert admin["set-user-or-group-policy", user][0]["policyName"] == user
    policy = json.loads(admin["add-canned-policy", "uploads"][1])
    assert policy["Statement"] == [
        {"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::lake/uploads/*"]}
    ]


def test_policy_of_the_product_is_limited_to_its_bucket() -> None:
    statements = store_accounts.product_policy("lake")["Statement"]
    assert {resource for one in statements for resource in one["Resource"]} == {
        "arn:aws:s3:::lake",
        "arn:aws:s3:::lake/*",
    }
    actions = {action for one in statements for action in one["Action"]}
    assert actions == {*store_accounts.BUCKET_ACTIONS, *store_accounts.OBJECT_ACTIONS}
    assert not [action for action in actions if "*" in action or "Policy" in action or action.endswith("eBucket")]


@pytest.mark.parametrize(
    ("access_key", "secret_key", "found"),
    [("", "", "evermuse.W003"), ("own", "", "evermuse.E003"), ("", "own", "evermuse.E003"), ("own", "own", "")],
)
def test_check_reports_missing_upload_keys_without_their_values(
    settings: Any, access_key: str, secret_key: str, found: str
) -> None:
    settings.MINIO_UPLOAD_ACCESS_KEY, settings.MINIO_UPLOAD_SECRET_KEY = access_key, secret_key
    told = [one for one in check_settings() if "MINIO_UPLOAD_ACCESS_KEY" in f"{one.msg} {one.hint}"]
    assert [one.id for one in told] == ([found] if found else [])
    assert all("own" not in one.msg.split() for one in told)


def test_on_another_store_bootstrap_creates_the_bucket_and_no_users(
    asked: list[tuple[str, str, dict[str, str], bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeMinio, "is_minio", False)
    store_accounts.ensure(root_user=ROOT, root_password=PASSWORD)
    assert [(method, path) for method, path, _, _ in asked] == [("HEAD", "/lake"), ("PUT", "/lake")]
