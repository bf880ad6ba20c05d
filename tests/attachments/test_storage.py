"""Uploads to the object store in parts use bounded memory, time and threads, also when the store fails."""

import hashlib
import socket
import threading
from collections.abc import Iterator

import pytest
import urllib3
from django.conf import settings
from minio import Minio

from attachments.fetch import attempt_objects, store
from attachments.fetch.upload import PART_BYTES, Upload
from deploy.local.embedded import Servers
from evermuse.errors import StoreUnavailable
from lake import object_store

CHUNK = b"0123456789abcdef" * 4096


@pytest.fixture
def bucket(servers: Servers) -> str:
    object_store.ensure_bucket()
    return str(settings.MINIO_BUCKET)


class _Broken:
    """A connection pool that answers uploads of parts with a 503."""

    def __init__(self, pool: urllib3.PoolManager) -> None:
        self._pool = pool

    def urlopen(self, method: str, url: str, **options: object) -> urllib3.BaseHTTPResponse:
        if "partNumber" in url:
            return urllib3.HTTPResponse(b"", status=503, preload_content=True)
        return self._pool.urlopen(method, url, **options)  # type: ignore[arg-type]

    def clear(self) -> None:
        """Called by the client at its end."""
        self._pool.clear()


@pytest.fixture
def broken_store(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Minio]:
    client = object_store.new_client()
    client._http = _Broken(client._http)  # type: ignore[assignment]
    monkeypatch.setattr(store, "client", lambda: client)
    yield client


def write(upload: Upload, size: int) -> str:
    digest = hashlib.sha256()
    for _ in range(size // len(CHUNK)):
        upload.write(CHUNK)
        digest.update(CHUNK)
    return digest.hexdigest()


@pytest.mark.parametrize("size", [0, len(CHUNK), PART_BYTES, PART_BYTES + len(CHUNK), 3 * PART_BYTES])
def test_written_bytes_are_stored_unchanged(bucket: str, size: int) -> None:
    with Upload(f"attachments/test/{size}", "text/plain") as upload:
        digest = write(upload, size)
        uri = upload.complete()
    answer = object_store.client().get_object(bucket, object_store.key_of(uri))
    assert hashlib.sha256(answer.read()).hexdigest() == digest
    assert answer.headers["Content-Type"] == "text/plain"
    answer.close()
    answer.release_conn()


def test_uncompleted_upload_leaves_nothing_in_the_store(bucket: str) -> None:
    with Upload("attachments/test/abandoned", "text/plain") as upload:
        write(upload, 2 * PART_BYTES)
        assert upload.upload_id
    assert attempt_objects.abort_uploads("attachments/test/abandoned") == 0
    assert list(object_store.client().list_objects(bucket, "attachments/test/abandoned")) == []


def test_failing_uploads_leak_no_threads(broken_store: Minio) -> None:
    before = set(threading.enumerate())
    for number in range(8):
        with pytest.raises(StoreUnavailable), Upload(f"attachments/test/broken-{number}", "text/plain") as upload:
            write(upload, 4 * PART_BYTES)
            upload.complete()
    names = [thread.name.partition("_")[0] for thread in threading.enumerate() if thread not in before]
    assert set(names) <= {"parts", "hashing"}, "only the two shared pools have threads"
    assert names.count("parts") <= max(4, settings.EVERMUSE_ATTACHMENT_CONCURRENCY)


def test_store_that_never_answers_is_unavailable_after_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:
        monkeypatch.setattr(settings, "MINIO_ENDPOINT", f"127.0.0.1:{hole.getsockname()[1]}")
        client = object_store.new_client(connect=0.2, read=0.2)
        monkeypatch.setattr(object_store, "client", lambda: client)
        with pytest.raises(StoreUnavailable, match=r"[Tt]imed? ?out"):
            object_store.put("key", b"content", "text/plain")


def test_store_clients_have_timeouts_and_no_retries() -> None:
    for client in (object_store.client(), store.client()):
        timeout = client._http.connection_pool_kw["timeout"]
        assert 0 < timeout.connect_timeout <= 5
        assert 0 < timeout.read_timeout <= 60
        assert client._http.connection_pool_kw["retries"].total == 0
