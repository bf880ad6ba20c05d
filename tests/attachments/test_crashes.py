"""Files that harm a worker become suspects: each is fetched alone, and fails after a few crashes."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from attachments import fetching, transfer
from attachments.fetch.watch import HANG_SECONDS, Transfer
from attachments.models import Attachment, AttachmentTally
from attachments.queue import claims, crashes, sweeper
from attachments.suspects import in_words
from evermuse import wake
from ingest.models import Workspace
from ingest.pipeline import processing
from tests.attachments.journey import file, make_due, run, send
from tests.attachments.vendor import Vendor
from tests.http_client import ApiClient

NAME = "alone:worker"
pytestmark = pytest.mark.usefixtures("empty_store")


def lose_worker() -> None:
    """Lets the worker die with all of its claims."""
    Attachment.objects.filter(state="IN_PROGRESS").update(claimed_until=timezone.now() - timedelta(days=1))
    sweeper.sweep()


def test_file_of_a_crashed_worker_is_only_claimed_alone(api: ApiClient) -> None:
    send(api, file("http://127.0.0.1:1/a"))
    assert claims.take() is not None
    lose_worker()
    assert (claims.take(), claims.count_due(1), crashes.count_suspects_due(10)) == (None, 0, 1)
    suspect = crashes.take_suspect(NAME)
    assert suspect is not None
    assert crashes.take_suspect(NAME) is None


def test_innocent_suspect_completes(api: ApiClient, vendor: Vendor) -> None:
    batch_id = send(api, file(vendor.on("/a", lambda x: x.answer(b"a"))))
    claims.take()
    lose_worker()
    assert run(api, batch_id)["attachmentDownloadStatus"] == "COMPLETE"
    assert [row["code"] for row in api.rows(batch_id, "attachments")[0]["attempts"]] == ["WORKER_LOST", "OK"]


def test_file_fails_when_its_process_dies_for_the_third_time_and_a_retry_starts_again(
    api: ApiClient, vendor: Vendor
) -> None:
    batch_id = send(api, file(vendor.on("/a", lambda x: x.answer(b"a"))))
    claims.take()
    lose_worker()
    for is_last in (False, True):
        make_due()
        assert crashes.take_suspect(NAME) is not None
        (crash,) = crashes.blame_claimed_by(NAME, in_words(-11))
        assert crash.is_settled is is_last
    processing.advance([int(batch_id[6:])])
    after = api.batch(batch_id)
    assert (after["status"], after["attachmentDownloadFailed"]) == ("COMPLETE", 1)
    (row,) = api.rows(batch_id, "attachments")
    message = "the download's process was ended by SIGSEGV"
    assert row["error"] == {"code": "WORKER_CRASHED", "message": message}
    assert [attempt["code"] for attempt in row["attempts"]] == ["WORKER_LOST", "WORKER_CRASHED", "WORKER_CRASHED"]
    assert api.post(b"", path=f"/api/v1/ingest/batches/{batch_id}/retry").status_code == 202
    found = Attachment.objects.get()
    assert (found.state, found.crashes, found.lone_crashes) == ("PENDING", 0, 0)
    assert run(api, batch_id)["attachmentDownloadStatus"] == "COMPLETE"


def test_repeated_kills_of_a_worker_fail_no_file(api: ApiClient, vendor: Vendor) -> None:
    """Whoever kills workers also kills the processes of suspects, which says nothing about the files."""
    batch_id = send(api, file(vendor.on("/a", lambda x: x.answer(b"a"))))
    claims.take()
    for _ in range(5):
        lose_worker()
        assert crashes.take_suspect(NAME) is not None
    lose_worker()
    assert run(api, batch_id)["attachmentDownloadStatus"] == "COMPLETE"


def test_clock_that_was_set_back_makes_no_suspects(api: ApiClient) -> None:
    send(api, file("http://127.0.0.1:1/a"))
    claims.take()
    Attachment.objects.update(claimed_until=timezone.now() + timedelta(hours=1))
    sweeper.sweep()
    assert (Attachment.objects.get().crashes, crashes.count_suspects_due(1)) == (0, 0)
    assert claims.take() is not None


def test_unexpected_error_fails_its_file_with_a_reason_after_three_attempts(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: transfer.Fetch) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(transfer.Fetch, "run", broken)
    batch_id = send(api, file("http://127.0.0.1:1/a"))
    for _ in range(3):
        assert Attachment.objects.get().state == "PENDING"
        make_due()
        run(api, batch_id)
    (row,) = api.rows(batch_id, "attachments")
    message = "the download ended with an unexpected ZeroDivisionError"
    assert row["error"] == {"code": "WORKER_CRASHED", "message": message}
    assert (len(row["attempts"]), AttachmentTally.objects.get().failed) == (3, 1)


def test_suspects_of_one_workspace_leave_a_process_for_those_of_another(
    api: ApiClient, new_client: Callable[..., ApiClient], other_workspace: Workspace
) -> None:
    send(api, *(file(f"http://127.0.0.1:1/{n}") for n in range(4)))
    send(new_client(of=other_workspace), file("http://127.0.0.1:1/other"))
    claims.take_for(["worker"] * 5)
    lose_worker()
    taken = [crashes.take_suspect(f"{NAME}-{n}") for n in range(5)]
    of_others = [claim for claim in taken if claim and claim.workspace_id == other_workspace.pk]
    assert (len([claim for claim in taken if claim]), len(of_others)) == (3, 1)
    assert any(claim in of_others for claim in taken[:2]), "a workspace without a running suspect is served first"


def test_sweeper_wakes_a_process_for_each_suspect(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[str] = []

    def publish(task: str, batch_ids: list[int], *, expires: float | None = 0) -> bool:
        woken.append(task)
        return True

    monkeypatch.setattr(wake, "publish", publish)
    send(api, file("http://127.0.0.1:1/a"), file("http://127.0.0.1:1/b"))
    claims.take_for(["worker"] * 2)
    woken.clear()
    lose_worker()
    assert woken == [wake.DOWNLOAD_ALONE] * 2


def test_download_that_continues_long_after_its_stop_counts_as_hung() -> None:
    moving = Transfer(deadline_at=1e12)
    assert not moving.hangs(1e12)
    moving.stop(fetching.INTERRUPTED)
    assert not moving.hangs(moving.stopped_at + HANG_SECONDS - 1)
    assert moving.hangs(moving.stopped_at + HANG_SECONDS)
