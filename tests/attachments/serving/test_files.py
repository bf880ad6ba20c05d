"""The web processes serve files from a real object store by their own URLs."""

import io
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings as django_settings
from django.test import Client
from minio import Minio

from attachments.serving import links, objects
from deploy.local.embedded import Servers
from lake import object_store

BODY = bytes(range(256)) * 10
NAME = "報告 2026.pdf"


@pytest.fixture(autouse=True)
def _use_own_urls(settings: Any) -> None:
    settings.EVERMUSE_DOWNLOAD_URLS = "WEB"
    settings.EVERMUSE_DOWNLOAD_BASE_URL = "https://ingest.example"


@pytest.fixture
def store(servers: Servers) -> Callable[..., str]:
    """``store(body)`` stores an object and returns its URI."""
    object_store.ensure_bucket()

    def put(body: bytes = BODY, **options: Any) -> str:
        key = f"attachments/test/{secrets.token_hex(8)}"
        object_store.client().put_object(django_settings.MINIO_BUCKET, key, io.BytesIO(body), len(body), **options)
        return object_store.uri(key)

    return put


def link(uri: str, *, filename: str = NAME, mime_type: str = "application/pdf") -> str:
    """Returns the path and query of a file's URL."""
    url = links.download_url(uri, filename=filename, mime_type=mime_type)
    assert url.startswith("https://ingest.example/files?ticket=")
    return url.removeprefix("https://ingest.example")


def got(answer: Any) -> bytes:
    """Returns the content of an answer."""
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def test_file_is_served_whole_without_an_api_key(store: Callable[..., str], client: Client) -> None:
    answer = client.get(link(store()))
    assert (answer.status_code, got(answer)) == (200, BODY)
    headers = answer.headers
    assert headers["Content-Length"] == str(len(BODY))
    assert headers["Content-Type"] == "application/pdf"
    assert f"filename*=UTF-8''{quote(NAME)}" in headers["Content-Disposition"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Cache-Control"] == "private, no-cache"
    assert "sandbox" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert not answer.cookies


def test_file_larger_than_one_piece_is_served_in_order(store: Callable[..., str], client: Client) -> None:
    body = secrets.token_bytes(2 * objects.PIECE_BYTES + 7)
    answer = client.get(link(store(body)))
    assert got(answer) == body


def test_empty_file_is_served_as_an_empty_body(store: Callable[..., str], client: Client) -> None:
    answer = client.get(link(store(b"")))
    assert (answer.status_code, answer.headers["Content-Length"], got(answer)) == (200, "0", b"")


def test_stored_bytes_are_served_without_decoding(store: Callable[..., str], client: Client) -> None:
    answer = client.get(link(store(BODY, metadata={"Content-Encoding": "gzip"})))
    assert got(answer) == BODY
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize(
    ("asked", "first", "last"), [("bytes=0-0", 0, 0), ("bytes=7-99", 7, 99), ("bytes=-3", 2557, 2559)]
)
def test_range_request_gets_a_206_with_its_bytes(
    store: Callable[..., str], client: Client, asked: str, first: int, last: int
) -> None:
    answer = client.get(link(store()), headers={"Range": asked})
    assert (answer.status_code, got(answer)) == (206, BODY[first : last + 1])
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(BODY)}"
    assert answer.headers["Content-Length"] == str(last + 1 - first)


def test_range_beyond_the_end_gets_a_416(store: Callable[..., str], client: Client) -> None:
    answer = client.get(link(store()), headers={"Range": f"bytes={len(BODY)}-"})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(BODY)}")


def test_head_has_the_headers_of_get_without_a_body(store: Callable[..., str], client: Client) -> None:
    path = link(store())
    whole, part = client.head(path), client.head(path, headers={"Range": "bytes=1-2"})
    assert (whole.status_code, whole.headers["Content-Length"], got(whole)) == (200, str(len(BODY)), b"")
    assert (part.status_code, part.headers["Content-Length"], got(part)) == (206, "2", b"")


def test_conditional_requests_follow_etag_and_last_modified(store: Callable[..., str], client: Client) -> None:
    path = link(store())
    first = client.get(path)
    etag, modified = first.headers["ETag"], first.headers["Last-Modified"]
    assert client.get(path, headers={"If-None-Match": f'"x", {etag}'}).status_code == 304
    assert client.get(path, headers={"If-Modified-Since": modified}).status_code == 304
    assert client.get(path, headers={"If-Match": '"x"'}).status_code == 412
    for condition, status in ((etag, 206), (modified, 206), ('"x"', 200), ("Thu, 01 Jan 1970 00:00:00 GMT", 200)):
        assert client.get(path, headers={"Range": "bytes=0-1", "If-Range": condition}).status_code == status


@pytest.mark.parametrize("mime_type", ["text/html", "image/svg+xml", "text/javascript"])
def test_type_that_a_browser_would_run_is_served_as_a_download_of_bytes(
    store: Callable[..., str], client: Client, mime_type: str
) -> None:
    answer = client.get(link(store(b"<script>alert(1)</script>"), filename="a.html", mime_type=mime_type))
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a.html"'


def test_preview_is_inline_and_may_be_framed_by_our_own_pages(store: Callable[..., str], client: Client) -> None:
    path = links.preview_url(store(), mime_type="application/pdf")
    assert path.startswith("/files?")
    headers = client.get(path).headers
    assert headers["Content-Disposition"] == "inline"
    assert headers["X-Frame-Options"] == "SAMEORIGIN"
    assert "frame-ancestors 'self'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def refused(answer: Any) -> tuple[int, str]:
    """Returns the status and the code of an error answer."""
    assert set(answer.json()) >= {"error", "message"}
    return answer.status_code, answer.json()["error"]


def test_expired_file_url_gets_a_403_that_says_so(
    store: Callable[..., str], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = link(store())
    monkeypatch.setattr(links, "LIFETIME", timedelta(seconds=-1))
    answer = client.get(path)
    assert refused(answer) == (403, "FORBIDDEN")
    assert "expired" in answer.json()["message"]


def test_altered_file_url_gets_a_403(store: Callable[..., str], client: Client) -> None:
    path = link(store())
    ticket = path.partition("=")[2]
    for bad in ("", "x", ticket[:-1], ticket[1:], ticket.replace(":", ".", 1), ticket + "%00", "é" * 100):
        assert refused(client.get(f"/files?ticket={bad}")) == (403, "FORBIDDEN")
    assert refused(client.get("/files")) == (403, "FORBIDDEN")


def test_url_of_a_deleted_file_gets_a_404(store: Callable[..., str], client: Client) -> None:
    uri = store()
    object_store.client().remove_object(django_settings.MINIO_BUCKET, object_store.key_of(uri))
    assert refused(client.get(link(uri))) == (404, "NOT_FOUND")


def test_unavailable_store_gets_a_503_with_retry_after(
    store: Callable[..., str], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = link(store())
    away = Minio("127.0.0.1:1", "a", "b", secure=False, region="us-east-1", http_client=object_store.new_pool())
    monkeypatch.setattr(objects, "_client", lambda: away)
    answer = client.get(path)
    assert refused(answer) == (503, "UNAVAILABLE")
    assert (answer.json()["retryAfter"], answer.headers["Retry-After"]) == (2, "2")


def test_post_to_a_file_url_gets_a_405(store: Callable[..., str], client: Client) -> None:
    answer = client.post(link(store()))
    assert refused(answer) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == "GET, HEAD"
