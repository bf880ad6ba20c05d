"""A request can be followed from web through landing to its files: every log event has an id that leads on."""

import logging
from typing import Any

import pytest
from structlog import contextvars

from attachments.fetch import store
from evermuse.errors import StoreUnavailable
from ingest import ndjson
from ingest.pipeline import landing
from tests.attachments.journey import file, run
from tests.attachments.vendor import Vendor
from tests.http_client import ApiClient
from tests.records import record


def events(caplog: pytest.LogCaptureFixture, *beginnings: str) -> list[dict[str, Any]]:
    found = [entry.msg for entry in caplog.records if isinstance(entry.msg, dict)]
    return [one for one in found if one["event"].startswith(beginnings)]


def test_request_can_be_followed_to_its_files_by_the_ids_of_the_log(
    api: ApiClient, vendor: Vendor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    gone = vendor.on("/gone", lambda exchange: exchange.answer(status="404 Not Found"))
    good = vendor.on("/good", lambda exchange: exchange.answer(b"content"))
    nowhere = "http://no-such-host.invalid/a.mp3"
    sent = api.post(record(attachments=[file(url) for url in (good, gone, nowhere)]), x_request_id="followed-request")
    batch_id = sent.json()["batchId"]
    landing.land_waiting()
    run(api, batch_id)
    [accepted] = events(caplog, "batch.accepted")
    assert (accepted["request_id"], accepted["batch_id"]) == ("followed-request", batch_id)
    assert [one["batch_ids"] for one in events(caplog, "batch.landed")] == [[batch_id]]
    of_files = events(caplog, "attachment.", "download.")
    assert {"attachment.complete", "attachment.failed", "download.not_resolved"} <= {one["event"] for one in of_files}
    assert {one.get("batch_id") for one in of_files} == {batch_id}
    assert all(one["attachment_id"].startswith("att_") for one in of_files)
    assert contextvars.get_contextvars() == {}


def test_event_of_a_file_that_waits_for_the_store_has_both_ids(
    api: ApiClient, vendor: Vendor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = api.post(record(attachments=[file(vendor.on("/a", lambda exchange: exchange.answer(b"content")))]))
    landing.land_waiting()

    def away() -> None:
        raise StoreUnavailable("it timed out")

    monkeypatch.setattr(store, "client", away)
    run(api, sent.json()["batchId"])
    [waits] = events(caplog, "attachment.store_away")
    assert waits["batch_id"] == sent.json()["batchId"]
    assert waits["attachment_id"].startswith("att_")


def test_event_of_a_stream_that_is_cut_off_has_the_id_of_its_request(caplog: pytest.LogCaptureFixture) -> None:
    class Place:
        def give_back(self) -> None:
            """Nothing to give back."""

    def away(place: object) -> tuple[list[bytes], object]:
        raise StoreUnavailable("it timed out")

    with contextvars.bound_contextvars(request_id="the-request"):
        lines = ndjson._Lines(Place(), away)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable):
        next(iter(lines))
    [cut_off] = events(caplog, "stream.cut_off")
    assert cut_off["request_id"] == "the-request"
