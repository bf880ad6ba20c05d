"""A job retries all failures of a problem exactly once, resumes after a kill, and reports what it skipped and why."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from attachments.models import Attachment, AttachmentTally
from attachments.queue import groups, hosts
from evermuse.errors import LeaseLost
from ingest.models import Batch, Workspace
from ingest.pipeline import claims
from ingest.pipeline import landing as pipeline
from ingest.problems import collector, jobs, retries, sweeper
from ingest.problems.models import Job, Problem
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land
from tests.ingest.problems import seed
from tests.records import record

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Wake-ups, recorded instead of published because no worker listens here."""
    noted: list[str] = []

    def publish(task: str, ids: list[int], *, expires: float | None = 0) -> bool:
        noted.append(task)
        return True

    monkeypatch.setattr("evermuse.wake.publish", publish)
    # Nobody takes the messages of earlier tests, and wake-ups are left out while many wait.
    monkeypatch.setattr("evermuse.wake._count", lambda task: 0)
    return noted


def request(problem: Problem) -> Job:
    return jobs.request(problem, user_id=None)[0]


def expire_claims() -> None:
    Job.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))


def states(**which: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for state in Attachment.objects.filter(**which).values_list("state", flat=True):
        found[state] = found.get(state, 0) + 1
    return found


def assert_tallies_are_exact() -> None:
    for tally in AttachmentTally.objects.all():
        files = states(batch_id=tally.batch_id)
        assert (tally.failed, tally.complete) == (files.get("FAILED", 0), files.get("COMPLETE", 0))


@pytest.fixture
def files(workspace: Workspace) -> Problem:
    """The largest problem of failed files."""
    seed.fill(workspace.pk, batches=30, each=20)
    collector.collect()
    return Problem.objects.filter(kind="FILES").order_by("-count", "id")[0]


def test_job_retries_exactly_the_failed_files_of_its_problem(files: Problem, woken: list[str]) -> None:
    others = states()["FAILED"] - files.count
    job = request(files)
    jobs.run_waiting()
    job.refresh_from_db()
    assert (job.state, job.total, job.done, job.skipped, job.percent) == ("DONE", files.count, files.count, 0, 100)
    again = states(host=files.party, state="PENDING")
    assert again == {"PENDING": files.count}
    assert states()["FAILED"] == others
    assert_tallies_are_exact()
    assert "attachments.download" in woken


def test_job_of_a_killed_worker_resumes_at_its_last_commit(files: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "SLICE_FILES", 7)
    job = request(files)
    first = jobs.claim()
    assert first
    jobs.run_slice(*first)
    job.refresh_from_db()
    assert (job.state, job.done) == ("RUNNING", 7)
    assert jobs.claim() is None  # another worker has claimed the job
    with monkeypatch.context() as patch:
        # The worker dies after it has changed the files, before the commit.
        patch.setattr(Job, "save", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            jobs.run_slice(*first)
    assert states(host=files.party, state="PENDING") == {"PENDING": 7}
    expire_claims()
    jobs.run_waiting()
    job.refresh_from_db()
    assert (job.state, job.done, job.total) == ("DONE", files.count, files.count)
    assert_tallies_are_exact()
    with pytest.raises(LeaseLost):
        jobs.run_slice(*first)


def test_worker_whose_lease_expired_retries_nothing(files: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "SLICE_FILES", 7)
    request(files)
    stale = jobs.claim()
    expire_claims()
    fresh = jobs.claim()
    assert stale and fresh
    with pytest.raises(LeaseLost):
        jobs.run_slice(*stale)
    assert states(host=files.party).get("PENDING") is None
    assert jobs.run_slice(*fresh) is False


def test_job_is_given_up_after_it_killed_several_workers(files: Problem) -> None:
    job = request(files)
    for _ in range(jobs.MAX_FAULTS):
        assert jobs.claim()
        expire_claims()
    assert jobs.claim() is None
    job.refresh_from_db()
    assert (job.state, job.error) == ("FAILED", "its worker died")
    assert jobs.claim() is None
    assert jobs.request(files, user_id=None)[1]


def test_job_is_tried_again_after_an_unexpected_error(files: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    job = request(files)
    with monkeypatch.context() as patch:
        patch.setattr(retries, "next_slice", lambda job: 1 / 0)
        jobs.run_waiting()
    job.refresh_from_db()
    assert (job.state, job.error) == ("RUNNING", "ZeroDivisionError: division by zero")
    expire_claims()
    jobs.run_waiting()
    job.refresh_from_db()
    assert (job.state, job.error) == ("DONE", "")


def test_files_that_fail_again_during_a_job_are_not_retried_twice(
    files: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "SLICE_FILES", 7)
    job = request(files)
    claim = jobs.claim()
    assert claim
    for _ in range(files.count):
        is_done = jobs.run_slice(*claim)
        # The vendor rejects all of them again immediately.
        Attachment.objects.filter(host=files.party, state="PENDING").update(state="FAILED", error_code=files.code)
        if is_done:
            break
    job.refresh_from_db()
    assert (job.state, job.done) == ("DONE", files.count)


def test_job_also_retries_waiting_files_with_the_same_error(files: Problem) -> None:
    later = timezone.now() + timedelta(minutes=2)
    ids = list(Attachment.objects.filter(host=files.party, state="FAILED").values_list("id", flat=True)[:3])
    Attachment.objects.filter(id__in=ids).update(state="PENDING", next_attempt_at=later)
    job = request(files)
    jobs.run_waiting()
    job.refresh_from_db()
    assert (job.done, job.skipped) == (files.count, 0)
    assert not Attachment.objects.filter(next_attempt_at__gte=later).exists()


def test_job_lands_rejected_batches_again_and_skips_others_with_a_reason(api: ApiClient) -> None:
    rejected = int(api.post(record(project_ids=["late"])).json()["details"]["batchId"][6:])
    landed = send_and_land(api, [record(), record(project_ids=["late"])])
    assert api.batch(landed)["rejectedCount"] == 1
    collector.collect()
    problem = Problem.objects.get(code="UNKNOWN_PROJECT")
    job = request(problem)
    jobs.run_waiting()
    job.refresh_from_db()
    assert (job.state, job.total, job.done, job.skipped) == ("DONE", 2, 1, 1)
    assert job.reasons == {"its other records have landed; the client has to send the rejected ones again": 1}
    assert Batch.objects.get(pk=rejected).status == "LANDING"


def test_batch_that_was_given_up_lands_after_a_retry(api: ApiClient, woken: list[str]) -> None:
    poison = int(api.post(record()).json()["batchId"][6:])
    Batch.objects.update(lone_crashes=9, crashes=9, claimed_alone=True, claimed_until=timezone.now() - timedelta(1))
    claims.claim()
    collector.collect()
    request(Problem.objects.get())
    jobs.run_waiting()
    assert "ingest.land_batches" in woken
    pipeline.land_waiting()
    assert Batch.objects.get(pk=poison).status == "COMPLETE"


def test_job_retries_stuck_batches_at_once(api: ApiClient) -> None:
    for _ in range(2):
        api.post(record())
    Batch.objects.update(
        created_at=timezone.now() - timedelta(hours=1),
        failure_code="STORE_UNAVAILABLE",
        not_before=timezone.now() + timedelta(seconds=20),
    )
    collector.measure()
    held = Batch.objects.order_by("id")[0]
    Batch.objects.filter(pk=held.pk).update(claimed_until=timezone.now() + timedelta(seconds=20))
    job = request(Problem.objects.get(kind="WAITING_BATCHES"))
    jobs.run_waiting()
    job.refresh_from_db()
    assert (job.done, job.skipped, job.reasons) == (1, 1, {"a worker holds it": 1})
    assert len(claims.claim()) == 1


def test_job_releases_a_held_host_and_leaves_a_paused_one_to_the_operator(api: ApiClient) -> None:
    send_and_land(api, record(attachments=[{"type": "audio", "vendor_url": "https://files.example/x"}]))
    Attachment.objects.update(next_attempt_at=timezone.now() - timedelta(hours=1))
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE attachments_vendorhost SET held_until = now() + interval '10 seconds', opened_at = now()"
        )
    collector.measure()
    problem = Problem.objects.get(kind="WAITING_FILES")
    job = request(problem)
    jobs.run_waiting()
    job.refresh_from_db()
    assert (job.done, groups.oldest_due_seconds() > 3000) == (1, True)
    hosts.pause(problem.party)
    job = request(problem)
    jobs.run_waiting()
    job.refresh_from_db()
    assert (job.done, job.reasons) == (0, {"the host is paused: resume it under Vendor hosts": 1})
    assert groups.oldest_due_seconds() == 0


def test_problem_has_one_job_at_a_time(files: Problem) -> None:
    user = User.objects.create_user("op")
    first, is_new = jobs.request(files, user_id=user.pk)
    second, is_second_new = jobs.request(files, user_id=user.pk)
    assert (is_new, is_second_new, second.pk, first.requested_by) == (True, False, first.pk, user)


def test_sweeper_wakes_a_worker_for_an_abandoned_job(files: Problem, woken: list[str]) -> None:
    assert not jobs.is_any_waiting()
    request(files)
    assert jobs.is_any_waiting()
    jobs.claim()
    assert not jobs.is_any_waiting()
    expire_claims()
    sweeper.sweep()
    assert jobs.RUN in woken
