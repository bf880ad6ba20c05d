"""Downloads are fair to vendors: a failing host is held back, Retry-After is kept to, and operators can pause a host."""

from collections.abc import Callable
from datetime import timedelta
from itertools import chain, repeat

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from attachments import fetching
from attachments.models import Lane, VendorHost
from attachments.queue import claims, hosts, lanes, sweeper
from ingest.models import Workspace
from tests.attachments.journey import file, make_due, run, send
from tests.attachments.vendor import Vendor
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land
from tests.records import record

pytestmark = pytest.mark.usefixtures("empty_store")


def host(vendor: Vendor) -> VendorHost:
    return VendorHost.objects.get(host=f"127.0.0.1:{vendor.port}")


def lane(vendor: Vendor) -> Lane:
    return Lane.objects.get(host=f"127.0.0.1:{vendor.port}")


def test_download_waits_while_its_host_is_paused_and_completes_after_it_resumes(api: ApiClient, vendor: Vendor) -> None:
    batch_id = send(api, file(vendor.on("/a", lambda x: x.answer(b"a"))))
    assert (hosts.pause(host(vendor).host), hosts.pause(host(vendor).host)) == (True, False)
    assert (claims.count_due(10), run(api, batch_id)["attachmentDownloadStatus"], vendor.requests) == (0, "PENDING", [])
    assert (hosts.resume(host(vendor).host), hosts.resume(host(vendor).host)) == (True, False)
    assert run(api, batch_id)["attachmentDownloadStatus"] == "COMPLETE"


def test_pause_of_one_host_does_not_delay_another(api: ApiClient, vendor: Vendor) -> None:
    hosts.pause("127.0.0.1:1")
    batch_id = send(api, file("http://127.0.0.1:1/a"), file(vendor.on("/a", lambda x: x.answer(b"a"))))
    assert run(api, batch_id)["attachmentDownloadComplete"] == 1


def test_breaker_of_a_host_opens_after_the_configured_number_of_failures(
    api: ApiClient, vendor: Vendor, settings: Settings
) -> None:
    settings.EVERMUSE_ATTACHMENT_BREAKER_FAILURES = 4
    urls = [vendor.on(f"/{n}", lambda x: x.answer(status="502 Bad Gateway")) for n in range(9)]
    batch_id = send(api, *(file(url) for url in urls))
    run(api, batch_id)
    assert len(vendor.requests) == 4
    assert lane(vendor).opened_at is not None
    assert lane(vendor).last_error == "the server answered HTTP 502"
    assert claims.count_due(10) == 0
    make_due()
    assert claims.take() is not None
    assert claims.take() is None, "an open breaker lets one download at a time try the host"


def test_any_answer_other_than_a_fault_closes_the_breaker(api: ApiClient, vendor: Vendor, settings: Settings) -> None:
    settings.EVERMUSE_ATTACHMENT_BREAKER_FAILURES = 2
    answers = chain(["503 Busy", "503 Busy"], repeat("404 Not Found"))
    urls = [vendor.on(f"/{n}", lambda x: x.answer(status=next(answers))) for n in range(4)]
    batch_id = send(api, *(file(url) for url in urls))
    run(api, batch_id)
    assert lane(vendor).opened_at is not None
    make_due()
    run(api, batch_id)
    assert (lane(vendor).opened_at, lane(vendor).failures) == (None, 0)


def test_each_file_behind_an_open_breaker_fails_after_one_attempt_of_its_own(
    api: ApiClient, vendor: Vendor, settings: Settings
) -> None:
    settings.EVERMUSE_ATTACHMENT_BREAKER_FAILURES = 1
    settings.EVERMUSE_ATTACHMENT_RETRY_WINDOW_SECONDS = 1
    urls = [vendor.on(f"/{n}", lambda x: x.answer(status="500 Oops")) for n in range(5)]
    batch_id = send(api, *(file(url) for url in urls))
    for probes in range(1, 6):
        run(api, batch_id)
        assert len(vendor.requests) == probes
        make_due()
        sweeper.sweep()
    after = run(api, batch_id)
    assert (after["status"], after["attachmentDownloadFailed"]) == ("COMPLETE", 5)
    for row in api.rows(batch_id, "attachments"):
        assert (row["error"]["code"], [attempt["httpStatus"] for attempt in row["attempts"]]) == ("HTTP_500", [500])


@pytest.mark.parametrize(("files", "longest"), [(2, 15.0), (200, 1.3)])
def test_open_breaker_lets_every_waiting_file_try_once_within_the_retry_window(
    api: ApiClient, vendor: Vendor, settings: Settings, files: int, longest: float
) -> None:
    """Probes are 15 seconds apart, or closer so that all of them begin within the window of 240 seconds."""
    settings.EVERMUSE_ATTACHMENT_RETRY_WINDOW_SECONDS = 240
    settings.EVERMUSE_ATTACHMENT_BREAKER_FAILURES = 1
    urls = iter([vendor.on(f"/{n}", lambda x: x.answer(status="500 Oops")) for n in range(files)])
    send_and_land(api, [record(attachments=[file(next(urls)), file(next(urls))]) for _ in range(files // 2)])
    fetching.fetch_waiting()
    before = timezone.now()
    lanes.refresh()
    held_until = lane(vendor).held_until
    assert held_until is not None
    assert before < held_until <= timezone.now() + timedelta(seconds=longest)
    assert longest == 15.0 or held_until < before + timedelta(seconds=10)


def test_breaker_that_one_workspace_opened_delays_no_other_workspace(
    api: ApiClient, new_client: Callable[..., ApiClient], other_workspace: Workspace, vendor: Vendor, settings: Settings
) -> None:
    settings.EVERMUSE_ATTACHMENT_BREAKER_FAILURES = 1
    spoiled = send(api, *(file(vendor.on(f"/{n}", lambda x: x.answer(status="500 Oops"))) for n in range(5)))
    run(api, spoiled)
    assert lane(vendor).opened_at is not None
    neighbour = new_client(of=other_workspace)
    batch_id = send(neighbour, file(vendor.on("/good", lambda x: x.answer(b"a"))))
    assert run(neighbour, batch_id)["attachmentDownloadStatus"] == "COMPLETE"


def test_retry_after_for_one_workspace_delays_no_other_workspace(
    api: ApiClient, new_client: Callable[..., ApiClient], other_workspace: Workspace, vendor: Vendor
) -> None:
    slowed = send(api, file(vendor.on("/a", lambda x: x.answer(status="429 Slow Down", Retry_After="60"))))
    run(api, slowed)
    neighbour = new_client(of=other_workspace)
    batch_id = send(neighbour, file(vendor.on("/good", lambda x: x.answer(b"a"))))
    assert run(neighbour, batch_id)["attachmentDownloadStatus"] == "COMPLETE"


def test_pause_by_an_operator_delays_every_workspace(
    api: ApiClient, new_client: Callable[..., ApiClient], other_workspace: Workspace, vendor: Vendor
) -> None:
    url = vendor.on("/a", lambda x: x.answer(b"a"))
    send(api, file(url))
    send(new_client(of=other_workspace), file(url))
    lanes.refresh()
    hosts.pause(host(vendor).host)
    assert claims.take_for(["a", "b"]) == [None, None]
    hosts.resume(host(vendor).host)
    assert None not in claims.take_for(["a", "b"])


def test_retry_after_of_a_host_delays_all_of_its_files_up_to_a_limit(api: ApiClient, vendor: Vendor) -> None:
    urls = [vendor.on(f"/{n}", lambda x: x.answer(status="429 Slow Down", Retry_After="99999999")) for n in range(5)]
    batch_id = send(api, *(file(url) for url in urls))
    run(api, batch_id)
    assert len(vendor.requests) == 1
    held = lane(vendor).held_until
    assert held is not None
    assert held - timezone.now() <= timedelta(seconds=claims.MAX_HOST_HOLD_SECONDS)
    assert claims.count_due(10) == 0
