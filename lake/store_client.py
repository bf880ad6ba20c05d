"""minio's client, with multipart uploads and with content whose SHA-256 is known. Only this module uses minio's internals.

minio's public multipart upload leaks threads when a part fails, and it cannot be resumed. Its signature reads the whole content
again, although the caller has already computed the SHA-256.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from minio import Minio
from minio.credentials.credentials import Credentials
from minio.datatypes import Part
from minio.error import InvalidResponseError, S3Error, ServerError

# The internals used here are those of this version. A test fails with any other one.
WRITTEN_FOR = {"minio": "7.2.20"}

_CONTENT_SHA256 = "x-amz-content-sha256"


class StoreClient(Minio):
    """Safe to share between threads. Raises what minio raises."""

    def put_known(self, bucket: str, key: str, content: bytes | bytearray, *, mime_type: str, sha256: str) -> None:
        """Store an object whose SHA-256 (hex) is known."""
        headers: Any = {"Content-Type": mime_type, _CONTENT_SHA256: sha256}
        self._put_object(bucket, key, content, headers)  # type: ignore[arg-type]

    def begin_upload(self, bucket: str, key: str, mime_type: str) -> str:
        """Begin an upload in parts and return its id."""
        headers: Any = {"Content-Type": mime_type}
        return self._create_multipart_upload(bucket, key, headers)

    def put_part(self, bucket: str, key: str, upload_id: str, number: int, content: bytes | bytearray) -> Part:
        """Store a part; ``number`` counts from 1."""
        return Part(number, self._upload_part(bucket, key, content, None, upload_id, number))  # type: ignore[arg-type]

    def complete_upload(self, bucket: str, key: str, upload_id: str, parts: Sequence[Part]) -> None:
        """Complete an upload: make the object from its parts."""
        self._complete_multipart_upload(bucket, key, upload_id, list(parts))

    def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        """Remove the parts of an upload."""
        self._abort_multipart_upload(bucket, key, upload_id)

    def open_uploads(self, bucket: str, prefix: str) -> list[tuple[str, str]]:
        """Key and id of each upload under a prefix that was begun and neither completed nor aborted."""
        found = self._list_multipart_uploads(bucket, prefix=prefix).uploads
        return [(one.object_name, one.upload_id) for one in found if one.upload_id]

    def _build_headers(
        self, host: str, headers: Any = None, body: bytes | None = None, creds: Credentials | None = None
    ) -> tuple[Any, datetime]:
        known = (headers or {}).get(_CONTENT_SHA256)
        if known is None:
            return super()._build_headers(host, headers, body, creds)
        built, date = super()._build_headers(host, headers, None, creds)
        if body:
            built["Content-Length"] = str(len(body))
        built[_CONTENT_SHA256] = known
        return built, date


def status_of(error: BaseException) -> int | None:
    """The HTTP status that the store answered with, or None if it did not answer."""
    if isinstance(error, S3Error):
        return int(error.response.status)
    if isinstance(error, ServerError):
        return error.status_code
    return error._code if isinstance(error, InvalidResponseError) else None
