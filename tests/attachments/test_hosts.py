"""Fair to every vendor: a host that only fails is held back, one that asks for a pause gets it, operators can pause one."""

from datetime import timedelta
from itertools import chain, repeat

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from attachments import claims, hosts, sweeper
from attachments.models import Attachment, VendorHost
from ingest import pipeline
from tests.attachments.journey import file, make_due, run, send
from tests.attachments.vendor import Vendor
from tests.http_client import ApiClient

pytestmark = pytest.mark.usefixtures("empty_store")


def host(vendor: Vendor) -> VendorHost:
    return VendorHost.objects.get(host=f"127.0.0.1:{vendor.port}")


def test_a_paused_host_waits_and_a_resumed_one_goes_on(api: ApiClient, vendor: Vendor) -> None:
    batch_id = send(api, file(vendor.on("/a", lambda x: x.answer(b"a"))))
    assert (hosts.pause(host(vendor).host), hosts.pause(host(vendor).host)) == (True, False)
    assert (claims.due(10), run(api, batch_id)["attachmentDownloadStatus"], vendor.requests) == (0, "PENDING", [])
    assert (hosts.resume(host(vendor).host), hosts.resume(host(vendor).host)) == (True, False)
    assert run(api, batch_id)["attachmentDownloadStatus"] == "COMPLETE"


def test_a_pause_does_not_touch_other_hosts(api: ApiClient, vendor: Vendor) -> None:
    hosts.pause("127.0.0.1:1")
    batch_id = send(api, file("http://127.0.0.1:1/a"), file(vendor.on("/a", lambda x: x.answer(b"a"))))
    assert run(api, batch_id)["attachmentDownloadComplete"] == 1


def test_the_breaker_opens_after_so_many_failures_in_a_row(api: ApiClient, vendor: Vendor, settings: Settings) -> None:
    settings.EVERMUSE_ATTACHMENT_BREAKER_FAILURES = 4
    urls = [vendor.on(f"/{n}", lambda x: x.answer(status="502 Bad Gateway")) for n in range(9)]
    batch_id = send(api, *(file(url) for url in urls))
    run(api, batch_id)
    assert len(vendor.requests) == 4
    assert host(vendor).opened_at is not None
    assert host(vendor).last_error == "the server answered HTTP 502"
    assert claims.due(10) == 0
    make_due()
    assert claims.take() is not None
    assert claims.take() is None, "between two holds one download at a time tries the host"


def test_any_answer_that_is_no_fault_closes_the_breaker(api: ApiClient, vendor: Vendor, settings: Settings) -> None:
    settings.EVERMUSE_ATTACHMENT_BREAKER_FAILURES = 2
    answers = chain(["503 Busy", "503 Busy"], repeat("404 Not Found"))
    urls = [vendor.on(f"/{n}", lambda x: x.answer(status=next(answers))) for n in range(4)]
    batch_id = send(api, *(file(url) for url in urls))
    run(api, batch_id)
    assert host(vendor).opened_at is not None
    make_due()
    VendorHost.objects.update(held_until=None)
    run(api, batch_id)
    assert (host(vendor).opened_at, host(vendor).failures) == (None, 0)


def test_behind_an_open_breaker_files_fail_when_their_window_is_over(
    api: ApiClient, vendor: Vendor, settings: Settings
) -> None:
    settings.EVERMUSE_ATTACHMENT_BREAKER_FAILURES = 1
    urls = [vendor.on(f"/{n}", lambda x: x.answer(status="500 Oops")) for n in range(5)]
    batch_id = send(api, *(file(url) for url in urls))
    run(api, batch_id)
    Attachment.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=180))
    sweeper.sweep()
    assert api.batch(batch_id)["attachmentDownloadFailed"] == 0
    Attachment.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=241))
    sweeper.sweep()
    pipeline.advance([int(batch_id[6:])])
    after = api.batch(batch_id)
    assert (after["status"], after["attachmentDownloadFailed"]) == ("COMPLETE", 5)
    error = api.rows(batch_id, "attachments")[0]["error"]
    assert error == {
        "code": "HOST_UNAVAILABLE",
        "message": "the host fails every download; the last time: the server answered HTTP 500",
    }


def test_a_host_that_asks_for_a_pause_gets_it_for_all_of_its_files(api: ApiClient, vendor: Vendor) -> None:
    urls = [vendor.on(f"/{n}", lambda x: x.answer(status="429 Slow Down", Retry_After="99999999")) for n in range(5)]
    batch_id = send(api, *(file(url) for url in urls))
    run(api, batch_id)
    assert len(vendor.requests) == 1
    held = host(vendor).held_until
    assert held is not None
    assert held - timezone.now() <= timedelta(seconds=claims.MAX_HOST_HOLD_SECONDS)
    assert claims.due(10) == 0
