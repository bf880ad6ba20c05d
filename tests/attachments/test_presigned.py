"""Presigned URLs (Signature Version 4): Amazon's own example, and a real store that checks the signature."""

import http.client
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
import urllib3
from django.conf import settings

from attachments.fetch import upload_area
from attachments.fetch.presigned import Signer
from deploy.local.embedded import Servers
from lake import object_store

KEY = "uploads/workspace=a%26b/upl_größe & 1"


@pytest.fixture
def bucket(servers: Servers) -> str:
    object_store.ensure_bucket()
    return str(settings.MINIO_BUCKET)


def put(url: str, body: bytes, **headers: str) -> int:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return urllib3.request("PUT", url, body=body, headers=given, retries=False).status


def url_for(size: int | None) -> str:
    return upload_area.put_url(KEY, size=size, lifetime=timedelta(minutes=5))


def test_signature_of_amazons_example_is_reproduced() -> None:
    signer = Signer(
        "examplebucket.s3.amazonaws.com",
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        is_secure=True,
    )
    url = signer.url("GET", "/test.txt", at=datetime(2013, 5, 24, tzinfo=UTC), lifetime=timedelta(days=1))
    assert url.endswith("X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")


def test_default_port_is_left_out_of_the_signed_host() -> None:
    for endpoint, is_secure in (("store.example:443", True), ("store.example:80", False)):
        signer = Signer(endpoint, "key", "secret", is_secure)
        url = signer.url("PUT", "/b/k", at=datetime.now(UTC), lifetime=timedelta(1))
        assert urlsplit(url).netloc == "store.example"


@pytest.mark.parametrize("size", [0, 1, 70_000])
def test_upload_url_with_a_size_accepts_exactly_that_size(bucket: str, size: int) -> None:
    assert put(url_for(size), b"x" * size) == 200
    answer = object_store.client().get_object(bucket, KEY)
    assert answer.read() == b"x" * size
    for wrong in {0, size - 1, size + 1, 2 * size} - {size, -1}:
        assert put(url_for(size), b"y" * wrong) == 403
    assert object_store.client().get_object(bucket, KEY).read() == b"x" * size


def test_upload_url_with_a_size_rejects_a_chunked_body(bucket: str) -> None:
    parts = urlsplit(url_for(5))
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    connection.request("PUT", f"{parts.path}?{parts.query}", body=iter([b"12345"]), encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})  # fmt: skip
    assert connection.getresponse().status in {400, 403, 411}
    connection.close()


def test_upload_url_without_a_size_accepts_any_size(bucket: str) -> None:
    assert [put(url_for(None), b"x" * size) for size in (3, 0, 70_000)] == [200, 200, 200]


@pytest.mark.parametrize("size", [0, None])
def test_upload_url_cannot_copy_another_object(bucket: str, size: int | None) -> None:
    object_store.put("attachments/another", b"another's", "text/plain")
    put(url_for(size), b"", x_amz_copy_source=f"/{bucket}/attachments/another")
    put(url_for(size), b"", x_amz_copy_source=f"{bucket}/attachments/another", x_amz_copy_source_range="bytes=0-3")
    found = list(object_store.client().list_objects(bucket, prefix=KEY))
    assert b"another's" not in [object_store.client().get_object(bucket, KEY).read() for _ in found]


def test_upload_url_works_for_its_own_method_and_key_only(bucket: str) -> None:
    url = url_for(None)
    assert put(url, b"x") == 200
    for method, changed in (
        ("GET", url), ("DELETE", url), ("POST", url), ("PUT", url.replace("/upl_", "/upx_")),
        ("PUT", url.replace("uploads/", "uploads/../attachments/")), ("PUT", f"{url}&partNumber=1&uploadId=x"),
        ("PUT", f"{url}&acl"), ("PUT", url.replace("X-Amz-Expires=300", "X-Amz-Expires=3000")),
    ):  # fmt: skip
        assert urllib3.request(method, changed, body=b"", retries=False).status in {400, 403, 405}, (method, changed)


def test_upload_url_is_signed_with_keys_that_may_only_upload(bucket: str) -> None:
    assert settings.MINIO_UPLOAD_ACCESS_KEY
    assert f"X-Amz-Credential={settings.MINIO_UPLOAD_ACCESS_KEY}%2F" in url_for(1)
    assert "SignedHeaders=content-length%3Bhost&" in url_for(1)
