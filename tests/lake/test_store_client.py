"""Our additions to minio's client store the same objects as its public interface."""

import hashlib
import io

import pytest
from django.conf import settings
from minio.error import S3Error

from deploy.local.embedded import Servers
from lake import object_store
from lake.store_client import StoreClient

PART = bytes(range(256)) * 20 * 1024


@pytest.fixture
def bucket(servers: Servers) -> str:
    object_store.ensure_bucket()
    return str(settings.MINIO_BUCKET)


def stored(bucket: str, key: str) -> tuple[bytes, str | None]:
    answer = object_store.client().get_object(bucket, key)
    try:
        return answer.read(), answer.headers.get("Content-Type")
    finally:
        answer.close()
        answer.release_conn()


@pytest.mark.parametrize("content", [b"", b"\0abc", PART])
def test_content_with_a_known_sha256_is_stored_as_the_public_call_would(bucket: str, content: bytes) -> None:
    client, sha256 = object_store.client(), hashlib.sha256(content).hexdigest()
    client.put_object(bucket, "client/plain", io.BytesIO(content), len(content), content_type="text/x")
    client.put_known(bucket, "client/known", content, mime_type="text/x", sha256=sha256)
    assert stored(bucket, "client/known") == stored(bucket, "client/plain") == (content, "text/x")


def test_object_uploaded_in_parts_equals_one_uploaded_at_once(bucket: str) -> None:
    client: StoreClient = object_store.client()
    upload_id = client.begin_upload(bucket, "client/parts", "text/x")
    assert client.open_uploads(bucket, "client/parts") == [("client/parts", upload_id)]
    parts = [client.put_part(bucket, "client/parts", upload_id, n, c) for n, c in ((1, PART), (2, b"end"))]
    client.complete_upload(bucket, "client/parts", upload_id, parts)
    assert stored(bucket, "client/parts") == (PART + b"end", "text/x")
    assert client.open_uploads(bucket, "client/parts") == []


def test_aborted_upload_leaves_nothing(bucket: str) -> None:
    client = object_store.client()
    upload_id = client.begin_upload(bucket, "client/aborted", "text/x")
    client.put_part(bucket, "client/aborted", upload_id, 1, PART)
    client.abort_upload(bucket, "client/aborted", upload_id)
    assert client.open_uploads(bucket, "client/aborted") == []
    with pytest.raises(S3Error) as refused:
        client.stat_object(bucket, "client/aborted")
    assert refused.value.code == "NoSuchKey"
