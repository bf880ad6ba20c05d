"""Upload intents: a client uploads to the store itself; the file is verified, claimed once, or deleted if unclaimed."""

import gzip
import hashlib
import re
import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import urllib3
from django.conf import settings
from django.utils import timezone

from attachments import upload_clearing
from attachments.fetch import store, upload_area
from attachments.models import UploadIntent
from attachments.queue import sweeper
from ingest.clients import api_keys
from ingest.models import ApiKey, Workspace
from lake import archive, object_store
from tests.attachments.journey import make_due, run, stored
from tests.attachments.vendor import Exchange, Vendor
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land
from tests.records import record

pytestmark = pytest.mark.usefixtures("empty_store")

BODY = b"uploaded" * 1000
UPLOADS = "/api/v1/uploads"


def intent(api: ApiClient, **declared: object) -> dict[str, Any]:
    answer = api.post(declared, path=UPLOADS)
    assert answer.status_code == 201, answer.content
    made: dict[str, Any] = answer.json()
    return made


def upload(api: ApiClient, body: bytes = BODY, **declared: object) -> str:
    made = intent(api, **declared)
    assert urllib3.request(made["method"], made["uploadUrl"], body=body).status == 200
    return str(made["uploadIntentId"])


def naming(intent_id: str, **more: object) -> dict[str, Any]:
    return record(attachments=[{"type": "file", "upload_intent_id": intent_id, **more}])


def uploaded_objects() -> list[str]:
    found = object_store.client().list_objects("evermuse-lake", prefix="uploads/", recursive=True)
    return [str(one.object_name) for one in found]


@pytest.fixture(autouse=True)
def no_uploads(empty_store: None) -> None:
    for key in uploaded_objects():
        object_store.client().remove_object("evermuse-lake", key)


def error_of(api: ApiClient, batch_id: str) -> str:
    (entry,) = api.rows(batch_id, "attachments")
    assert entry["state"] == "FAILED"
    return str(entry["error"]["code"])


def test_upload_intent_has_exactly_the_fields_of_the_contract(api: ApiClient) -> None:
    made = intent(api, filename="a.pdf", mimeType="application/pdf", size=3, sha1="x", md5="y")
    assert set(made) == {"uploadIntentId", "uploadUrl", "method", "expiresAt"}
    assert made["method"] == "PUT"
    assert made["expiresAt"] > timezone.now().timestamp() * 1000


def test_claimed_upload_is_verified_and_stored(api: ApiClient) -> None:
    sha1 = hashlib.sha1(BODY).hexdigest()
    name = upload(api, filename="notes.pdf", mimeType="application/pdf", size=len(BODY), sha1=sha1)
    batch_id = send_and_land(api, naming(name))
    assert run(api, batch_id)["attachmentDownloadStatus"] == "COMPLETE"
    (entry,) = api.rows(batch_id, "attachments")
    assert (entry["sha256"], entry["size"]) == (hashlib.sha256(BODY).hexdigest(), len(BODY))
    assert (entry["mimeType"], entry["attempts"][0]["httpStatus"]) == ("application/pdf", None)
    assert stored(entry["storageUri"]) == BODY
    assert uploaded_objects() == []


@pytest.mark.parametrize(
    ("declared", "code"),
    [({"size": 1}, "SIZE_MISMATCH"), ({"sha1": "0" * 40}, "SHA1_MISMATCH"), ({"md5": "0" * 32}, "MD5_MISMATCH")],
)
@pytest.mark.parametrize("where", ["intent", "record"])
def test_upload_that_differs_from_its_declaration_fails(
    api: ApiClient, workspace: Workspace, declared: dict[str, Any], code: str, where: str
) -> None:
    if where == "intent" and "size" in declared:
        made = intent(api, **declared)
        assert urllib3.request("PUT", made["uploadUrl"], body=BODY).status == 403
        object_store.put(f"uploads/workspace={workspace.name}/{made['uploadIntentId']}", BODY, "text/plain")
        name = made["uploadIntentId"]
    else:
        name = upload(api, **(declared if where == "intent" else {}))
    batch_id = send_and_land(api, naming(name, **(declared if where == "record" else {})))
    run(api, batch_id)
    assert error_of(api, batch_id) == code


PACKED = gzip.compress(BODY, mtime=0)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "br", "zstd", "base64", "aws-chunked", "gzip, gzip"])
@pytest.mark.parametrize("body", [b"plain text", PACKED], ids=["plain", "packed"])
def test_upload_is_stored_as_sent_whatever_its_content_encoding(api: ApiClient, body: bytes, encoding: str) -> None:
    made = intent(api, size=len(body), md5=hashlib.md5(body).hexdigest())
    put = urllib3.request("PUT", made["uploadUrl"], body=body, headers={"Content-Encoding": encoding})
    assert put.status == 200
    batch_id = send_and_land(api, naming(made["uploadIntentId"]))
    assert run(api, batch_id)["status"] == "COMPLETE"
    (entry,) = api.rows(batch_id, "attachments")
    assert (entry["state"], [a["code"] for a in entry["attempts"]]) == ("COMPLETE", ["OK"])
    assert (entry["size"], stored(entry["storageUri"])) == (len(body), body)


def refusal(status: str, code: str) -> Callable[[Exchange], None]:
    """Answers with an error of an S3 store."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Resource>/secret-key</Resource></Error>".encode()
    return lambda exchange: exchange.answer(body, status=status, Content_Type="application/xml")


@pytest.fixture
def read_from(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[Exchange], None]], None]:
    """Reads one upload from a server with this behaviour, and everything else from the real store."""
    real = store.client()

    class Reading:
        def __init__(self, client: Any) -> None:
            self._client = client

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def get_object(self, bucket: str, key: str) -> Any:
            return self._client.get_object(bucket, key)

    def read(name: str, behave: Callable[[Exchange], None]) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("django.conf.settings.MINIO_ENDPOINT", f"127.0.0.1:{vendor.port}")
            client = Reading(object_store.new_client(read=2.0))
        monkeypatch.setattr(store, "client", lambda: client)
        key = upload_area.key_for(workspace=UploadIntent.objects.get(token=name).workspace.name, token=name)
        vendor.on(f"/evermuse-lake/{key.replace('=', '%3D')}", behave)
        vendor.on(f"/evermuse-lake/{key}", behave)

    return read


def attempts_of_eight_rounds(api: ApiClient, name: str) -> tuple[str, list[str], str]:
    batch_id = send_and_land(api, naming(name))
    for _ in range(8):
        make_due()
        run(api, batch_id)
    (entry,) = api.rows(batch_id, "attachments")
    return entry["state"], [a["code"] for a in entry["attempts"]], str(entry)


@pytest.mark.parametrize(
    "behave",
    [
        refusal("403 Forbidden", "AccessDenied"),
        refusal("403 Forbidden", "InvalidObjectState"),
        refusal("400 Bad Request", "InvalidRequest"),
        refusal("416 Range Not Satisfiable", "InvalidRange"),
        # The store returns other objects, so this one is broken.
        refusal("500 Internal Server Error", "InternalError"),
        lambda x: x.answer(b"a", Content_Length="10"),
        lambda x: x.answer(b"5\r\nab", Content_Length="", Transfer_Encoding="chunked"),
    ],
)
def test_store_error_about_one_upload_counts_as_an_attempt(
    api: ApiClient, read_from: Any, behave: Callable[[Exchange], None]
) -> None:
    name = upload(api)
    read_from(name, behave)
    state, codes, told = attempts_of_eight_rounds(api, name)
    assert (state, codes) == ("FAILED", ["STORE_REFUSED"] * 6)
    assert "secret-key" not in told


@pytest.mark.parametrize(
    "behave",
    [
        refusal("503 Slow Down", "SlowDown"),
        refusal("500 Internal Server Error", "InternalError"),
        refusal("403 Forbidden", "InvalidAccessKeyId"),
        refusal("404 Not Found", "NoSuchBucket"),
        lambda x: x.answer(b"<html>", status="502 Bad Gateway", Content_Type="text/html"),
        lambda x: x.reset(),
        lambda x: x.answer(b"a", Content_Length="10"),
    ],
)
def test_unavailable_store_counts_no_attempt_of_an_upload(
    api: ApiClient,
    vendor: Vendor,
    read_from: Any,
    behave: Callable[[Exchange], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = upload(api)
    # It returns no other object either.
    monkeypatch.setattr("attachments.fetch.store.keeps_others", lambda: False)
    read_from(name, behave)
    state, codes, told = attempts_of_eight_rounds(api, name)
    assert (state, set(codes)) == ("PENDING", {"STORE_UNAVAILABLE"})
    # Nothing reveals where the store is, or the keys in it.
    assert all(
        secret not in told for secret in (f":{vendor.port}", "127.0.0.1", "secret-key", "uploads/", "workspace=")
    )


def test_unknown_or_foreign_intent_fails_its_attachment(
    api: ApiClient, new_client: Any, other_workspace: Workspace
) -> None:
    foreign = upload(new_client(of=other_workspace))
    for name in ("upl_nothing", foreign, "\0"):
        batch_id = send_and_land(api, naming(name))
        run(api, batch_id)
        assert error_of(api, batch_id) == "UNKNOWN_INTENT"
        assert api.batch(batch_id)["status"] == "COMPLETE"


def test_upload_intent_is_claimed_only_once(api: ApiClient) -> None:
    name = upload(api)
    first, second = (send_and_land(api, naming(name)) for _ in range(2))
    run(api, first)
    run(api, second)
    assert api.batch(first)["attachmentDownloadComplete"] == 1
    assert error_of(api, second) == "INTENT_CLAIMED"


def test_resent_record_keeps_its_uploaded_file(api: ApiClient) -> None:
    same = naming(upload(api))
    first = send_and_land(api, same)
    early = send_and_land(api, same)
    run(api, first)
    run(api, early)
    late = send_and_land(api, same)
    uris = {api.rows(batch_id, "attachments")[0]["storageUri"] for batch_id in (first, early, late)}
    assert (len(uris), None in uris) == (1, False)


def test_attachment_waits_until_its_file_is_uploaded(api: ApiClient) -> None:
    made = intent(api)
    batch_id = send_and_land(api, naming(made["uploadIntentId"]))
    run(api, batch_id)
    (entry,) = api.rows(batch_id, "attachments")
    assert (entry["state"], entry["attempts"][0]["code"]) == ("PENDING", "NOT_UPLOADED")
    urllib3.request("PUT", made["uploadUrl"], body=BODY)
    make_due()
    assert run(api, batch_id)["attachmentDownloadStatus"] == "COMPLETE"


def test_upload_over_the_size_limit_fails(api: ApiClient, settings: Any) -> None:
    settings.EVERMUSE_ATTACHMENT_MAX_BYTES = len(BODY) - 1
    batch_id = send_and_land(api, naming(upload(api)))
    run(api, batch_id)
    assert error_of(api, batch_id) == "TOO_LARGE"
    assert api.post({"size": len(BODY)}, path=UPLOADS).status_code == 400


def test_stored_file_is_unchanged_when_its_upload_is_overwritten(api: ApiClient) -> None:
    made = intent(api)
    urllib3.request("PUT", made["uploadUrl"], body=BODY)
    batch_id = send_and_land(api, naming(made["uploadIntentId"]))
    run(api, batch_id)
    urllib3.request("PUT", made["uploadUrl"], body=b"forged")
    assert stored(api.rows(batch_id, "attachments")[0]["storageUri"]) == BODY


def test_expired_intent_fails_its_attachment_and_its_upload_is_deleted(api: ApiClient) -> None:
    name, kept = upload(api), upload(api)
    UploadIntent.objects.filter(token=name).update(expires_at=timezone.now() - timedelta(seconds=1))
    batch_id = send_and_land(api, naming(name))
    run(api, batch_id)
    assert error_of(api, batch_id) == "INTENT_EXPIRED"
    sweeper.sweep()
    assert [key.rpartition("/")[2] for key in uploaded_objects()] == [kept]
    assert [one.token for one in UploadIntent.objects.all()] == [kept]


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b"{", "INVALID_JSON", "The body is not JSON"),
        (b"[]", "INVALID_BODY", "the body must be an object, not an array"),
        (b'{"name": "x"}', "INVALID_BODY", "name: is no field here"),
        (b'{"size": -1}', "INVALID_BODY", "size: must be at least 0"),
        (b'{"size": true}', "INVALID_BODY", "size: must be an integer, not true"),
        (b'{"filename": null}', "INVALID_BODY", "filename: must be a string, not null"),
        (b'{"md5": "%s"}' % (b"x" * 129), "INVALID_BODY", "md5: must have at most 128 characters, not 129"),
        (b'{"size": 99999999999}', "INVALID_BODY", "size: at most 2147483648 bytes are allowed"),
    ],
)
def test_invalid_request_for_an_upload_names_field_and_rule(
    api: ApiClient, body: bytes, code: str, message: str
) -> None:
    answer = api.post(body, path=UPLOADS)
    assert (answer.status_code, answer.json()["error"]) == (400, code)
    assert answer.json()["message"].startswith(message)


@pytest.mark.parametrize(
    ("body", "line", "column"), [(b"{", 1, 2), (b"", 1, 1), (b"\n\n {} x", 3, 4), (b'\n{"filename": "\xff"}', 2, 15)]
)
def test_request_for_an_upload_that_is_not_json_gets_line_and_column(
    api: ApiClient, body: bytes, line: int, column: int
) -> None:
    answer = api.post(body, path=UPLOADS).json()
    assert (answer["error"], answer["details"]) == ("INVALID_JSON", {"line": line, "column": column})


def test_key_that_may_only_read_gets_a_403_for_an_upload(new_client: Any) -> None:
    assert new_client(permissions=["api:read"]).post({}, path=UPLOADS).status_code == 403


def test_file_uploaded_after_its_claim_is_deleted(api: ApiClient) -> None:
    made = intent(api)
    urllib3.request("PUT", made["uploadUrl"], body=BODY)
    run(api, send_and_land(api, naming(made["uploadIntentId"])))
    assert uploaded_objects() == []
    assert urllib3.request("PUT", made["uploadUrl"], body=b"late").status == 200
    assert len(uploaded_objects()) == 1
    sweeper.sweep()
    assert uploaded_objects() == []


def test_unknown_upload_is_deleted_once_no_url_for_it_can_be_valid(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    object_store.put("uploads/workspace=another/upl_unknown", b"x", "text/plain")
    sweeper.sweep()
    assert len(uploaded_objects()) == 1
    later = timezone.now() + timedelta(days=2)
    monkeypatch.setattr(timezone, "now", lambda: later)
    upload_clearing.UploadAreaWalk().step()
    assert uploaded_objects() == []


def test_walk_through_the_upload_area_covers_all_pages(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_clearing, "WALKED_AT_ONCE", 2)
    names = [upload(api) for _ in range(5)]
    UploadIntent.objects.update(measured_size=None)
    walk = upload_clearing.UploadAreaWalk()
    for _ in range(3):
        walk.step()
    sizes = UploadIntent.objects.filter(token__in=names).values_list("measured_size", flat=True)
    assert list(sizes) == [len(BODY)] * 5


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_upload_intent_ends_when_its_api_key_ends(
    new_client: Any, api: ApiClient, workspace: Workspace, how: str
) -> None:
    mine = new_client(label="ending", expires_at=timezone.now() + timedelta(days=1) if how == "expired" else None)
    name, kept = upload(mine), upload(api)
    if how == "revoked":
        api_keys.revoke(ApiKey.objects.get(workspace=workspace, label="ending"))
    else:
        made = UploadIntent.objects.get(token=name)
        assert made.key_ends_at == ApiKey.objects.get(label="ending").expires_at
        UploadIntent.objects.filter(pk=made.pk).update(key_ends_at=timezone.now())
    batch_id = send_and_land(api, naming(name))
    run(api, batch_id)
    assert error_of(api, batch_id) == "INTENT_EXPIRED"
    assert "API key" in api.rows(batch_id, "attachments")[0]["error"]["message"]
    sweeper.sweep()
    assert [key.rpartition("/")[2] for key in uploaded_objects()] == [kept]


def test_file_uploaded_after_its_key_was_revoked_is_deleted(
    new_client: Any, api: ApiClient, workspace: Workspace
) -> None:
    made = intent(new_client(label="ending"), size=len(BODY))
    api_keys.revoke(ApiKey.objects.get(workspace=workspace, label="ending"))
    sweeper.sweep()
    urllib3.request("PUT", made["uploadUrl"], body=BODY)
    sweeper.sweep()
    assert uploaded_objects() == []


def test_intent_claimed_before_its_key_was_revoked_is_stored(
    new_client: Any, api: ApiClient, workspace: Workspace
) -> None:
    made = intent(new_client(label="ending"))
    batch_id = send_and_land(api, naming(made["uploadIntentId"]))
    run(api, batch_id)
    urllib3.request("PUT", made["uploadUrl"], body=BODY)
    api_keys.revoke(ApiKey.objects.get(workspace=workspace, label="ending"))
    sweeper.sweep()
    make_due()
    assert run(api, batch_id)["attachmentDownloadStatus"] == "COMPLETE"


def test_object_keys_have_a_random_part(api: ApiClient) -> None:
    batch_id = send_and_land(api, naming(upload(api)))
    run(api, batch_id)
    (row,) = api.rows(batch_id, "attachments")
    archived = archive.of(int(batch_id[6:]))
    assert re.search(r"/1-[0-9a-f]{16}$", row["storageUri"])
    assert archived
    assert re.search(r"/segment-[0-9a-f]{32}\.ndjson\.zst$", archived.uri)


def test_hanging_store_delays_neither_the_sweeper_nor_new_intents(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent(api)
    timeout = store.quick_client()._http.connection_pool_kw["timeout"]
    assert timeout.connect_timeout + timeout.read_timeout < 3
    with socket.create_server(("127.0.0.1", 0)) as hole:
        monkeypatch.setattr(settings, "MINIO_ENDPOINT", f"127.0.0.1:{hole.getsockname()[1]}")
        hanging = object_store.new_client(connect=0.2, read=0.2)
        monkeypatch.setattr(store, "quick_client", lambda: hanging)
        # The other client waits for a minute, so nothing here may use it.
        monkeypatch.setattr(store, "client", lambda: pytest.fail("used the client with the long timeout"))
        assert upload_clearing.UploadAreaWalk().step() == 0
        assert intent(api)["uploadUrl"]
