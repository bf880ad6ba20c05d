"""The separate process in which a suspect file is fetched, and what its end says about the file."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from attachments.models import Attachment
from attachments.queue import claims, sweeper
from attachments.suspects import Suspects
from ingest.models import Workspace
from tests.attachments.journey import file, make_due, send
from tests.attachments.vendor import Vendor
from tests.http_client import ApiClient

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_store")]


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Suspects:
    """Child processes on the test's database; URLs named ``poison`` make them hang or crash."""
    given = connection.get_connection_params()
    monkeypatch.setenv(
        "DATABASE_URL",
        f"postgresql://{given['user']}:{given['password']}@{given['host']}:{given['port']}/{given['dbname']}",
    )
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.journeys.poisoned_settings")
    monkeypatch.setenv("EVERMUSE_ATTACHMENT_ALONE_BYTES", str(512 << 20))
    return Suspects()


def become_suspects() -> None:
    """Lets the worker die with all of its claims, so that each of its files becomes a suspect."""
    claims.take_for(["worker"] * 8)
    Attachment.objects.filter(state="IN_PROGRESS").update(claimed_until=timezone.now() - timedelta(days=1))
    sweeper.sweep()
    assert set(Attachment.objects.values_list("state", "crashes")) == {("PENDING", 1)}


def test_innocent_suspects_are_fetched_by_one_process(
    workspace: Workspace, new_client: Callable[..., ApiClient], vendor: Vendor, children: Suspects
) -> None:
    urls = [vendor.on(f"/{n}", lambda x, n=n: x.answer(b"content %d" % n)) for n in range(3)]  # type: ignore[misc]
    send(new_client(), *(file(url) for url in urls))
    become_suspects()
    assert children._run_one() is False
    assert set(Attachment.objects.values_list("state", "lone_crashes")) == {("COMPLETE", 0)}


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("hang", "the download hung"),
        ("crash", "the download's process was ended by SIGSEGV"),
        ("memory", "out of memory"),
    ],
)
def test_file_that_harms_its_process_fails_with_a_reason_and_an_innocent_one_completes(
    workspace: Workspace,
    new_client: Callable[..., ApiClient],
    vendor: Vendor,
    children: Suspects,
    how: str,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if how == "hang":
        monkeypatch.setenv("EVERMUSE_HANG_SECONDS", "3")
    api = new_client()
    innocent = vendor.on("/innocent", lambda x: x.answer(b"content"))
    batch_id = send(api, file(vendor.url(f"/poison-{how}")), file(innocent))
    become_suspects()
    for _ in range(3):
        make_due()
        children._run_one()
    poison, other = api.rows(batch_id, "attachments")
    assert (poison["state"], poison["error"]["code"], other["state"]) == ("FAILED", "WORKER_CRASHED", "COMPLETE")
    assert reason in poison["error"]["message"]
    assert [attempt["code"] for attempt in poison["attempts"]] == ["WORKER_LOST", "WORKER_CRASHED", "WORKER_CRASHED"]
