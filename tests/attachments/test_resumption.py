"""An interrupted download resumes only if a strong ETag proves that the rest belongs to the same content."""

import hashlib
import random
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from attachments.fetch.upload import PART_BYTES
from attachments.models import Attachment, StoredFile
from attachments.queue import sweeper
from attachments.resumption import keeper
from tests.attachments.journey import file, make_due, objects, open_uploads, run, send, stored
from tests.attachments.vendor import Behaviour, Exchange, Vendor, ranges
from tests.http_client import ApiClient

pytestmark = pytest.mark.usefixtures("empty_store")

CONTENT = random.Random(1).randbytes(5 * PART_BYTES // 2)
ETAG = '"v1"'


def cut_at(size: int, then: Behaviour, **headers: str) -> Behaviour:
    """Announces the whole content and sends its first bytes once; later requests get ``then``."""
    tries: list[int] = []

    def behave(exchange: Exchange) -> None:
        tries.append(1)
        if len(tries) > 1:
            return then(exchange)
        given = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        exchange.send(f"HTTP/1.1 200 OK\r\n{given}Content-Length: {len(CONTENT)}\r\n\r\n".encode() + CONTENT[:size])

    return behave


def two_attempts(api: ApiClient, url: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Returns the ledger's entry after an interrupted attempt and a second one."""
    batch_id = send(api, file(url))
    run(api, batch_id)
    make_due()
    run(api, batch_id)
    (entry,) = api.rows(batch_id, "attachments")
    return entry, entry["attempts"]


@pytest.mark.parametrize("size", [1, 100_000, PART_BYTES, 2 * PART_BYTES + 12_345, len(CONTENT) - 1])
def test_resumed_download_fetches_the_rest_only_and_stores_the_whole_file(
    api: ApiClient, vendor: Vendor, size: int
) -> None:
    url = vendor.on("/f", cut_at(size, ranges(CONTENT, etag=ETAG), ETag=ETAG))
    entry, attempts = two_attempts(api, url)
    assert entry["state"] == "COMPLETE"
    assert stored(entry["storageUri"]) == CONTENT
    assert entry["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert [(a["code"], a["httpStatus"], a["bytes"]) for a in attempts] == [
        ("TRUNCATED", 200, size), ("OK", 206, len(CONTENT) - size),
    ]  # fmt: skip
    second = vendor.requests[1].headers
    assert (second["range"], second["if-range"]) == (f"bytes={size}-", ETAG)


def test_resumed_download_continues_the_same_multipart_upload(api: ApiClient, vendor: Vendor) -> None:
    url = vendor.on("/f", cut_at(2 * PART_BYTES + 1, ranges(CONTENT, etag=ETAG), ETag=ETAG))
    batch_id = send(api, file(url))
    run(api, batch_id)
    (kept,) = open_uploads()
    sweeper.sweep()
    assert open_uploads() == [kept], "the sweeper keeps the upload of a download that can resume"
    make_due()
    run(api, batch_id)
    (entry,) = api.rows(batch_id, "attachments")
    assert entry["storageUri"].endswith(kept)
    assert (open_uploads(), objects()) == ([], {kept})
    sweeper.sweep()
    assert objects() == {kept}


@pytest.mark.parametrize(
    "headers",
    [{}, {"ETag": 'W/"v1"'}, {"ETag": "v1"}, {"ETag": '""'}, {"Last_Modified": "Mon, 02 Nov 2026 00:00:00 GMT"}],
)
def test_download_without_a_strong_etag_starts_again(api: ApiClient, vendor: Vendor, headers: dict[str, str]) -> None:
    url = vendor.on("/f", cut_at(1000, lambda x: x.answer(CONTENT), **headers))
    entry, attempts = two_attempts(api, url)
    assert stored(entry["storageUri"]) == CONTENT
    assert [a["bytes"] for a in attempts] == [1000, len(CONTENT)]
    assert "range" not in vendor.requests[1].headers


def rest(**headers: str) -> Behaviour:
    """A 206 answer with these headers."""
    body = CONTENT[1000:]
    given = {
        "status": "206 Partial Content", "ETag": ETAG,
        "Content_Range": f"bytes 1000-{len(CONTENT) - 1}/{len(CONTENT)}",
    } | headers  # fmt: skip
    return lambda exchange: (
        exchange.answer(body, **given) if "range" in exchange.request.headers else exchange.answer(CONTENT)
    )


@pytest.mark.parametrize(
    "then",
    [
        ranges(CONTENT, etag='"v2"'),
        rest(ETag='"v2"'),
        rest(Content_Range=f"bytes 999-{len(CONTENT) - 1}/{len(CONTENT)}"),
        rest(Content_Range=f"bytes 1000-{len(CONTENT) - 2}/{len(CONTENT)}"),
        rest(Content_Range=f"bytes 1000-{len(CONTENT) - 1}/*"),
        rest(Content_Range=""),
        rest(Content_Encoding="gzip"),
        rest(status="416 Range Not Satisfiable"),
    ],
)
def test_answer_that_is_not_certainly_the_rest_causes_a_full_download(
    api: ApiClient, vendor: Vendor, then: Behaviour
) -> None:
    url = vendor.on("/f", cut_at(1000, then, ETag=ETAG))
    entry, _ = two_attempts(api, url)
    assert entry["state"] == "COMPLETE"
    assert stored(entry["storageUri"]) == CONTENT
    assert (open_uploads(), len(objects())) == ([], 1)


def test_unrequested_partial_answer_is_not_stored(api: ApiClient, vendor: Vendor) -> None:
    body = CONTENT[:1000]
    url = vendor.on(
        "/f", lambda x: x.answer(body, status="206 Partial Content", Content_Range=f"bytes 0-999/{len(CONTENT)}")
    )
    batch_id = send(api, file(url))
    run(api, batch_id)
    (entry,) = api.rows(batch_id, "attachments")
    assert (entry["state"], entry["attempts"][0]["code"]) == ("PENDING", "UNEXPECTED_STATUS")


def test_fault_before_the_rest_keeps_the_bytes_received_so_far(api: ApiClient, vendor: Vendor) -> None:
    known = ranges(CONTENT, etag=ETAG)
    behaviours = [lambda x: x.answer(status="503 Busy"), lambda x: x.reset(), known]
    url = vendor.on("/f", cut_at(9_000_000, lambda x: behaviours.pop(0)(x), ETag=ETAG))
    batch_id = send(api, file(url))
    for _ in range(4):
        run(api, batch_id)
        make_due()
        sweeper.sweep()
    (entry,) = api.rows(batch_id, "attachments")
    assert [a["code"] for a in entry["attempts"]] == ["TRUNCATED", "HTTP_503", "CONNECTION_LOST", "OK"]
    assert entry["attempts"][-1]["bytes"] == len(CONTENT) - 9_000_000
    assert stored(entry["storageUri"]) == CONTENT


def test_download_by_another_worker_starts_again_and_aborts_the_old_upload(api: ApiClient, vendor: Vendor) -> None:
    url = vendor.on("/f", cut_at(2 * PART_BYTES, lambda x: x.answer(CONTENT), ETag=ETAG))
    batch_id = send(api, file(url))
    run(api, batch_id)
    assert len(open_uploads()) == 1
    keeper._kept.clear()  # as in a process that never had it
    make_due()
    run(api, batch_id)
    sweeper.sweep()
    (entry,) = api.rows(batch_id, "attachments")
    assert entry["attempts"][-1]["bytes"] == len(CONTENT)
    assert (open_uploads(), len(objects()), StoredFile.objects.count()) == ([], 1, 1)


def test_sweeper_aborts_an_upload_that_is_no_longer_kept(api: ApiClient, vendor: Vendor) -> None:
    url = vendor.on("/f", cut_at(2 * PART_BYTES, lambda x: x.answer(CONTENT), ETag=ETAG))
    send_id = send(api, file(url))
    run(api, send_id)
    Attachment.objects.update(kept_until=timezone.now() - timedelta(seconds=1))
    sweeper.sweep()
    assert open_uploads() == []
