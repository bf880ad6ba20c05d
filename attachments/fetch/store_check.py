"""Proves what we need of an object store, by doing it. Leaves no object behind.

Conditional puts are not needed: the key of every object is random and nothing is overwritten.
"""

import contextlib
import io
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.conf import settings
from minio.datatypes import Part
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

from attachments.fetch import store_faults, upload_area
from attachments.fetch.store_faults import Fault, Keys
from lake import object_store, store_credentials
from lake.store_client import StoreClient

OK, FAULTY, AWAY = "ok", "faulty", "away"
CONTENT, MIME_TYPE = b"evermuse proves what it needs", "text/plain"
DISPOSITION = 'attachment; filename="check.txt"'
LIFETIME = timedelta(minutes=5)
# Objects of a check that was killed are removed by a later one.
LEFT_BEHIND_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Report:
    """``status``: ok, faulty, or away if the store could not be reached. ``error``: why it is away, with the setting
    and the fix.
    """

    status: str
    proven: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    error: str = ""


class _Missing(Exception):
    """The store answered, but not as it must. The text says what it did."""


class _Away(Exception):
    """The store cannot be reached."""


def run() -> Report:
    """Check the store that the settings name. Takes seconds, and much longer if the store hangs."""
    try:
        # Keys of its own, because a thread must hold no lock of the process's keys while a worker forks.
        client = object_store.new_client(connections=2, credentials=store_credentials.new_provider())
    except store_credentials.StoreMisconfigured as error:
        return Report(FAULTY, faults=(store_faults.explain("listing", error),))
    return _Check(client).run()


@dataclass(slots=True)
class _Check:
    client: StoreClient
    bucket: str = field(default_factory=lambda: str(settings.MINIO_BUCKET))
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    proven: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def run(self) -> Report:
        try:
            # Without it nothing else can work, and each would say the same.
            if self._prove("listing", self._list):
                self._prove_all()
        except _Away as away:
            return Report(AWAY, tuple(self.proven), tuple(self.faults), str(away))
        finally:
            self._clean_up()
        return Report(FAULTY if self.faults else OK, tuple(self.proven), tuple(self.faults))

    def _prove_all(self) -> None:
        if self._prove("put", self._put):
            self._prove("ranged get", self._ranged_get)
            self._prove("presigned get", self._presigned_get)
        if self._prove("upload in parts", self._upload_in_parts):
            self._prove("listing of open uploads", self._open_uploads)
        own = bool(settings.MINIO_UPLOAD_ACCESS_KEY)
        self._prove("presigned put", self._presigned_put, store_faults.UPLOADS if own else store_faults.PRODUCT)
        self._prove("delete", self._delete)

    def _prove(self, ability: str, act: Callable[[], None], keys: Keys = store_faults.PRODUCT) -> bool:
        try:
            act()
        except _Missing as missing:
            fix = "use a store, or a version of it, that can do this"
            self.faults.append(Fault(ability, "MINIO_ENDPOINT", str(missing), fix))
            return False
        except object_store.FAULTS as error:
            if store_faults.is_away(error):
                raise _Away(store_faults.away(error)) from None
            self.faults.append(store_faults.explain(ability, error, keys=keys))
            return False
        self.proven.append(ability)
        return True

    def _key(self, name: str) -> str:
        return f"{object_store.CHECK_PREFIX}{self.token}/{name}"

    @property
    def _upload_key(self) -> str:
        return f"{upload_area.PREFIX}{self._key('upload')}"

    def _list(self) -> None:
        next(iter(self.client.list_objects(self.bucket, prefix=object_store.CHECK_PREFIX)), None)

    def _put(self) -> None:
        key = self._key("put")
        self.client.put_object(self.bucket, key, io.BytesIO(CONTENT), len(CONTENT), content_type=MIME_TYPE)
        if (found := self._read(key)) != CONTENT:
            raise _Missing(f"an object of {len(CONTENT)} bytes is read back as other {len(found)} bytes")
        if key not in self._keys(self._key("")):
            raise _Missing("the listing does not contain an object that was just stored")

    def _ranged_get(self) -> None:
        if (found := self._read(self._key("put"), offset=3, length=7)) != CONTENT[3:10]:
            raise _Missing(f"a request for 7 bytes of an object returned {len(found)} other bytes")

    def _presigned_get(self) -> None:
        headers = {"response-content-disposition": DISPOSITION}
        url = self.client.presigned_get_object(
            self.bucket,
            self._key("put"),
            expires=LIFETIME,
            response_headers=headers,  # type: ignore[arg-type]
        )
        found, disposition = self._request("GET", url)
        if found != CONTENT:
            raise _Missing(f"a presigned URL returned {len(found)} other bytes")
        if settings.EVERMUSE_DOWNLOAD_URLS == "STORE" and disposition != DISPOSITION:
            raise _Missing(
                "a presigned URL's response-content-disposition has no effect: set EVERMUSE_DOWNLOAD_URLS=web"
            )

    def _presigned_put(self) -> None:
        # At the inner endpoint, because workers need not reach the public one.
        signer, address = upload_area.signer_for(settings.MINIO_ENDPOINT, is_secure=settings.MINIO_SECURE)
        path = f"{address.path}/{self._upload_key}"
        url = signer.url("PUT", path, at=datetime.now(UTC), lifetime=LIFETIME, content_length=len(CONTENT))
        self._request("PUT", url, CONTENT)
        if self._read(self._upload_key) != CONTENT:
            raise _Missing("an object that was put by a presigned URL is read back with other bytes")

    def _upload_in_parts(self) -> None:
        key, first = self._key("parts"), bytes(object_store.MIN_PART_BYTES)
        upload_id = self.client.begin_upload(self.bucket, key, MIME_TYPE)
        parts: list[Part] = [
            self.client.put_part(self.bucket, key, upload_id, number, content)
            for number, content in enumerate((first, CONTENT), start=1)
        ]
        self.client.complete_upload(self.bucket, key, upload_id, parts)
        if self._read(key, offset=len(first) - 2, length=5) != b"\0\0" + CONTENT[:3]:
            raise _Missing("an object that was uploaded in parts is read back with other bytes")

    def _open_uploads(self) -> None:
        key = self._key("open")
        upload_id = self.client.begin_upload(self.bucket, key, MIME_TYPE)
        try:
            if (key, upload_id) not in self.client.open_uploads(self.bucket, key):
                raise _Missing(
                    "an upload that was begun is not listed, so the parts that a dead worker sent are never removed"
                )
        finally:
            self.client.abort_upload(self.bucket, key, upload_id)
        if self.client.open_uploads(self.bucket, key):
            raise _Missing("an upload that was aborted is still listed")

    def _delete(self) -> None:
        keys = [*self._keys(self._key("")), *self._keys(self._upload_key)]
        failed = next(iter(self.client.remove_objects(self.bucket, [DeleteObject(key) for key in keys])), None)
        if failed is not None:
            raise _Missing(f"an object was not deleted: {failed.code}")
        if left := [*self._keys(self._key("")), *self._keys(self._upload_key)]:
            raise _Missing(f"{len(left)} deleted objects are still listed")

    def _read(self, key: str, *, offset: int = 0, length: int = 0) -> bytes:
        answer = self.client.get_object(self.bucket, key, offset=offset, length=length)
        try:
            return bytes(answer.read())
        finally:
            answer.close()
            answer.release_conn()

    def _keys(self, prefix: str) -> list[str]:
        return [str(one.object_name) for one in self.client.list_objects(self.bucket, prefix=prefix, recursive=True)]

    def _request(self, method: str, url: str, body: bytes | None = None) -> tuple[bytes, str]:
        """Body and Content-Disposition of an answer to a presigned URL. Raises S3Error."""
        answer = object_store.new_pool().request(method, url, body=body)
        if answer.status >= 300:
            code = "AccessDenied"
            with contextlib.suppress(Exception):
                code = S3Error.fromxml(answer).code or code
            raise S3Error(answer, code, None, None, None, None)
        return answer.data, answer.headers.get("Content-Disposition", "")

    def _clean_up(self) -> None:
        """Remove what this check made, and what killed ones left behind."""
        with contextlib.suppress(*object_store.FAULTS):
            for name in ("parts", "open"):
                for key, upload_id in self.client.open_uploads(self.bucket, self._key(name)):
                    self.client.abort_upload(self.bucket, key, upload_id)
        with contextlib.suppress(*object_store.FAULTS):
            for key in self._left_behind():
                self.client.remove_object(self.bucket, key)

    def _left_behind(self) -> Iterator[str]:
        long_ago = datetime.now(UTC) - LEFT_BEHIND_AFTER
        for prefix in (object_store.CHECK_PREFIX, f"{upload_area.PREFIX}{object_store.CHECK_PREFIX}"):
            for one in list(self.client.list_objects(self.bucket, prefix=prefix, recursive=True)):
                key = str(one.object_name)
                if self.token in key or (one.last_modified is not None and one.last_modified < long_ago):
                    yield key
