"""Region, session token, roles and the style of URLs follow the settings, in requests and in presigned URLs."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from attachments.fetch import file_urls, store, upload_area
from deploy.local.embedded import Servers
from evermuse import security_headers, server_urls
from evermuse.errors import StoreUnavailable
from lake import object_store, store_credentials

AWS_VARIABLES = (
    "AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_REGION",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)  # fmt: skip


def forget() -> None:
    for one in (
        object_store.client, object_store.public_client, store_credentials.provider, store.client, store.quick_client,
    ):  # fmt: skip
        one.cache_clear()


@pytest.fixture(autouse=True)
def fresh_clients(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in AWS_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    # No file of credentials of the user who runs the tests.
    monkeypatch.setenv("HOME", str(tmp_path))
    forget()
    yield
    forget()


def put_object() -> str:
    return object_store.put("a", b"", "text/plain")


def upload_url() -> str:
    return upload_area.put_url("uploads/a b", size=3, lifetime=timedelta(minutes=5))


def download_url() -> str:
    return file_urls.download_url("s3://lake/attachments/a b", filename="a.txt", mime_type="text/plain")


@pytest.mark.parametrize(
    ("endpoint", "addressing", "region", "host", "path", "signed"),
    [
        ("store.example:9000", "AUTO", "", "store.example:9000", "/lake/", "us-east-1"),
        ("store.example:9000", "VIRTUAL", "eu-1", "lake.store.example:9000", "/", "eu-1"),
        ("s3.amazonaws.com", "AUTO", "eu-central-1", "lake.s3.eu-central-1.amazonaws.com", "/", "eu-central-1"),
        ("s3.eu-west-1.amazonaws.com", "AUTO", "", "lake.s3.eu-west-1.amazonaws.com", "/", "eu-west-1"),
        ("s3.eu-west-1.amazonaws.com", "PATH", "", "s3.eu-west-1.amazonaws.com", "/lake/", "eu-west-1"),
    ],
)
def test_presigned_urls_and_pages_name_the_bucket_and_region_of_the_settings(
    settings: Any, endpoint: str, addressing: str, region: str, host: str, path: str, signed: str
) -> None:
    settings.MINIO_BUCKET, settings.MINIO_PUBLIC_ENDPOINT, settings.MINIO_PUBLIC_SECURE = "lake", endpoint, True
    settings.MINIO_ADDRESSING, settings.MINIO_REGION = addressing, region
    for url, key in ((upload_url(), "uploads/a%20b"), (download_url(), "attachments/a%20b")):
        parts = urlsplit(url)
        assert (parts.scheme, parts.netloc, parts.path) == ("https", host, f"{path}{key}")
        assert parse_qs(parts.query)["X-Amz-Credential"][0].split("/")[2:] == [signed, "s3", "aws4_request"]
    assert f"https://{host};" in security_headers.admin_policy()


def test_urls_of_a_temporary_key_contain_its_session_token(settings: Any) -> None:
    settings.MINIO_SESSION_TOKEN, settings.MINIO_UPLOAD_ACCESS_KEY = "the/token+", ""
    for url in (upload_url(), download_url()):
        assert parse_qs(urlsplit(url).query)["X-Amz-Security-Token"] == ["the/token+"]
    settings.MINIO_UPLOAD_ACCESS_KEY = "own"
    assert "X-Amz-Security-Token" not in upload_url()


class Cloud(BaseHTTPRequestHandler):
    """Issues the keys of a role, by instance metadata or for a web identity."""

    keys: tuple[str, str]
    asked: list[str]

    def _answer(self) -> None:
        self.asked.append(f"{self.command} {urlsplit(self.path).path}")
        expires = f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
        access, secret = self.keys
        if self.command == "POST":
            text = (
                '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
                f"<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{access}</AccessKeyId><SecretAccessKey>{secret}"
                f"</SecretAccessKey><SessionToken></SessionToken><Expiration>{expires}</Expiration></Credentials>"
                "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
            )
        elif self.command == "PUT":
            text = "a-token"
        elif self.path.endswith("/security-credentials/"):
            text = "the-role"
        else:
            text = json.dumps(
                {
                    "Code": "Success",
                    "AccessKeyId": access,
                    "SecretAccessKey": secret,
                    "Token": "",
                    "Expiration": expires,
                }
            )
        content = text.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing."""


@pytest.fixture
def cloud(settings: Any, servers: Servers) -> Iterator[list[str]]:
    """Issues the keys that the store knows. The settings themselves hold none."""
    asked: list[str] = []
    object_store.ensure_bucket()
    forget()
    keys = (settings.MINIO_ACCESS_KEY, settings.MINIO_SECRET_KEY)
    handler = type("Handler", (Cloud,), {"keys": keys, "asked": asked})
    settings.MINIO_ACCESS_KEY = settings.MINIO_SECRET_KEY = ""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings.MINIO_ROLE_ENDPOINT = f"http://127.0.0.1:{server.server_port}"
        yield asked
        server.shutdown()


@pytest.mark.parametrize("kind", ["ROLE", "CHAIN"])
def test_keys_of_an_instances_role_open_the_store_and_are_fetched_once(
    settings: Any, cloud: list[str], kind: str
) -> None:
    settings.MINIO_CREDENTIALS = kind
    object_store.put("roles/one", b"one", "text/plain")
    assert object_store.get("roles/one", max_bytes=9) == b"one"
    metadata = "/latest/meta-data/iam/security-credentials/"
    assert cloud == ["PUT /latest/api/token", f"GET {metadata}", f"GET {metadata}the-role"]


def test_keys_of_a_service_accounts_role_open_the_store(
    settings: Any, cloud: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("a web identity")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/ingest")
    settings.MINIO_CREDENTIALS = "ROLE"
    object_store.put("roles/two", b"two", "text/plain")
    assert cloud == ["POST /"]


def test_keys_of_variables_and_of_a_file_open_the_store(
    settings: Any, servers: Servers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    object_store.ensure_bucket()
    access, secret = settings.MINIO_ACCESS_KEY, settings.MINIO_SECRET_KEY
    settings.MINIO_ACCESS_KEY = settings.MINIO_SECRET_KEY = ""
    file = tmp_path / "credentials"
    file.write_text(f"[default]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    for kind in ("FILE", "CHAIN"):
        settings.MINIO_CREDENTIALS = kind
        forget()
        assert object_store.is_up(), kind
    file.write_text("")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", access)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    for kind in ("ENVIRONMENT", "CHAIN"):
        settings.MINIO_CREDENTIALS = kind
        forget()
        assert object_store.is_up(), kind


@pytest.mark.parametrize("kind", ["ENVIRONMENT", "FILE", "ROLE", "CHAIN"])
def test_missing_keys_are_an_unavailable_store_whose_reason_names_the_setting(settings: Any, kind: str) -> None:
    settings.MINIO_CREDENTIALS, settings.MINIO_ROLE_ENDPOINT = kind, "http://127.0.0.1:1"
    settings.MINIO_ACCESS_KEY = settings.MINIO_SECRET_KEY = settings.MINIO_UPLOAD_ACCESS_KEY = ""
    acts: tuple[Callable[[], object], ...] = (put_object, upload_url, download_url)
    for act in acts:
        with pytest.raises(StoreUnavailable, match=f"MINIO_CREDENTIALS={kind.lower()}: there are no keys"):
            act()


@pytest.mark.parametrize("text", ["eu west", "-eu", "https://eu", "eu.1", "e" * 64])
def test_region_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(server_urls.Unusable, match="must be the name of a region, such as eu-central-1"):
        server_urls.region(text)
    assert server_urls.region("eu-central-1") == "eu-central-1"


@pytest.mark.parametrize("text", ["sts.example", "ftp://sts.example", "http://", "https://sts.example:x"])
def test_address_of_the_roles_service_must_be_http(text: str) -> None:
    with pytest.raises(server_urls.Unusable):
        server_urls.optional_http(text)
    assert server_urls.optional_http("https://sts.example:443/") == "https://sts.example:443/"
