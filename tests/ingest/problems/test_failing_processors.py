"""Processors that keep failing are a group of the problem inbox, which operators can retry."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from ingest.models import Batch, ProcessorRun, Workspace
from ingest.problems import collector, jobs
from ingest.problems.models import Problem
from tests.http_client import ApiClient
from tests.ingest.activity.rows import ago, batch


@pytest.fixture
def waiting(api: ApiClient) -> list[Batch]:
    """Five batches whose processor failed: three of them kept failing, one failed twice, and one has settled since."""
    workspace = Workspace.objects.get()
    made = [batch(workspace, ago(hours=1), status="PROCESSING") for _ in range(5)]
    soon = timezone.now() + timedelta(minutes=10)
    for number, one in enumerate(made):
        ProcessorRun.objects.create(
            batch=one,
            processor="words",
            attempts=2 if number == 3 else 3 + number,
            next_attempt_at=None if number == 4 else soon,
            error="ValueError: no language for 'Ann'",
        )
    return made


def test_processor_that_keeps_failing_is_a_measured_group_until_nothing_waits(waiting: list[Batch]) -> None:
    collector.measure()
    problem = Problem.objects.get()
    assert (problem.kind, problem.code, problem.party, problem.field) == (
        "PROCESSORS", "PROCESSOR_FAILS", "words", "ValueError",
    )  # fmt: skip
    assert (problem.count, problem.state, problem.is_measured) == (3, "OPEN", True)
    ProcessorRun.objects.update(next_attempt_at=None, attempts=0)
    collector.measure()
    problem.refresh_from_db()
    assert (problem.count, problem.state) == (0, "RESOLVED")


def test_retry_of_the_group_lets_the_processor_be_called_at_once(waiting: list[Batch]) -> None:
    collector.measure()
    ProcessorRun.objects.filter(batch=waiting[0]).update(processor="others")
    job, _ = jobs.request(Problem.objects.get(), user_id=None)
    jobs.run_waiting()
    job.refresh_from_db()
    assert (job.state, job.done, job.skipped) == ("DONE", 2, 0)
    still = ProcessorRun.objects.filter(next_attempt_at__isnull=False).values_list("batch_id", flat=True)
    assert sorted(still) == [waiting[0].pk, waiting[3].pk]


def test_page_of_the_group_names_the_processor_and_its_batches(waiting: list[Batch], admin_client: Client) -> None:
    collector.measure()
    page = admin_client.get(f"/admin/problems/problem/{Problem.objects.get().pk}/change/").content.decode()
    assert "A processor keeps failing" in page
    assert "<dt>Processor</dt><dd>words" in page
    assert [one.public_id in page for one in waiting] == [True, True, True, False, False]
