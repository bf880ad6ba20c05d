"""Fair to every vendor: a host that only fails is held back, one that asks for a pause gets it, operators can pause one."""

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


def test_a_paused_host_waits_and_a_resumed_one_goes_on(api: ApiClient, vendor: Vendor) -> None:
    batch_id = send(api, file(vendor.on("/a", lambda x: x.answer(b"a"))))
    assert (hosts.pause(host(vendor).host), hosts.pause(host(vendor).host)) == (True, False)
    assert (claims.count_due(10), run(api, batch_id)["attachmentDownloadStatus"], vendor.requests) == (0, "PENDING", [])
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
    assert lane(vendor).opened_at is not None
    assert lane(vendor).last_error == "the server answered HTTP 502"
    assert claims.count_due(10) == 0
    make_due()
    assert claims.take() is not None
    assert claims.take() is None, "between two holds one download at a time tries the host"


def test_any_answer_that_is_no_fault_closes_the_breaker(api: ApiClient, vendor: Vendor, settings: Settings) -> None:
    settings.EVERMUSE_ATTACHMENT_BREAKER_FAILURES = 2
    answers = chain(["503 Busy", "503 Busy"], repeat("404 Not Found"))
    urls = [vendor.on(f"/{n}", lambda x: x.answer(status=next(answers))) for n in range(4)]
    batch_id = send(api, *(file(url) for url in urls))
    run(api, batch_id)
    assert lane(vendor).opened_at is not None
    make_due()
    run(api, batch_id)
    assert (lane(vendor).opened_at, lane(vendor).failures) == (None, 0)


def test_behind_an_open_breaker_each_file_fails_after_an_attempt_of_its_own(
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
def test_an_open_breaker_lets_every_waiting_file_have_its_attempt_within_the_window(
    api: ApiClient, vendor: Vendor, settings: Settings, files: int, longest: float
) -> None:
    """Probes are 15 seconds apart, or as far as lets all of them begin within the 240 seconds of the window."""
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


def test_a_breaker_opened_by_one_workspace_holds_back_no_other(
    api: ApiClient, new_client: Callable[..., ApiClient], other_workspace: Workspace, vendor: Vendor, settings: Settings
) -> None:
    settings.EVERMUSE_ATTACHMENT_BREAKER_FAILURES = 1
    spoiled = send(api, *(file(vendor.on(f"/{n}", lambda x: x.answer(status="500 Oops"))) for n in range(5)))
    run(api, spoiled)
    assert lane(vendor).opened_at is not None
    neighbour = new_client(of=other_workspace)
    batch_id = send(neighbour, file(vendor.on("/good", lambda x: x.answer(b"a"))))
    assert run(neighbour, batch_id)["attachmentDownloadStatus"] == "COMPLETE"


def test_a_pause_that_a_host_asks_one_workspace_for_holds_back_no_other(
    api: ApiClient, new_client: Callable[..., ApiClient], other_workspace: Workspace, vendor: Vendor
) -> None:
    slowed = send(api, file(vendor.on("/a", lambda x: x.answer(status="429 Slow Down", Retry_After="60"))))
    run(api, slowed)
    neighbour = new_client(of=other_workspace)
    batch_id = send(neighbour, file(vendor.on("/good", lambda x: x.answer(b"a"))))
    assert run(neighbour, batch_id)["attachmentDownloadStatus"] == "COMPLETE"


def test_an_operators_pause_holds_back_every_workspace(
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


def test_a_host_that_asks_for_a_pause_gets_it_for_all_of_its_files(api: ApiClient, vendor: Vendor) -> None:
    urls = [vendor.on(f"/{n}", lambda x: x.answer(status="429 Slow Down", Retry_After="99999999")) for n in range(5)]
    batch_id = send(api, *(file(url) for url in urls))
    run(api, batch_id)
    assert len(vendor.requests) == 1
    held = lane(vendor).held_until
    assert held is not None
    assert held - timezone.now() <= timedelta(seconds=claims.MAX_HOST_HOLD_SECONDS)
    assert claims.count_due(10) == 0
