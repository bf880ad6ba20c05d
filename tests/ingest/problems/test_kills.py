"""A worker killed (-9) in the middle of a transaction loses nothing and does nothing twice."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from attachments.models import Attachment
from ingest.models import Workspace
from ingest.problems import collector, jobs
from ingest.problems.models import Job, Problem, ProblemHour
from tests.ingest.problems import seed
from tests.journeys.stack import until

pytestmark = pytest.mark.django_db(transaction=True)

BEGIN = """
import django, sys, time
django.setup()

def stop_here(*args, **kwargs):
    print("in the middle", flush=True)
    time.sleep(60)

"""
COLLECTOR = """
from ingest.problems import collector, sightings
count = sightings.count
def counted(*args, **kwargs):
    count(*args, **kwargs)
    stop_here()
sightings.count = counted
collector.collect()
"""
JOB = """
from ingest.problems import jobs, retries
retries.SLICE_FILES = 7
next_slice = retries.next_slice
slices = []
def second_is_cut_off(job):
    slices.append(next_slice(job))
    return stop_here() if len(slices) == 2 else slices[-1]
retries.next_slice = second_is_cut_off
jobs.run_waiting()
"""


def kill_in_the_middle_of(program: str) -> None:
    """Runs a program on this test's database, and kills it when it reports that it is in the middle."""
    database = connection.settings_dict
    url = "postgresql://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**database)
    with subprocess.Popen(
        [sys.executable, "-c", BEGIN + program],
        env={**os.environ, "DATABASE_URL": url},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        try:
            assert any("in the middle" in line for line in process.stdout)
        finally:
            process.kill()
    until(lambda: not open_transactions(), "PostgreSQL notices the worker's death and releases its locks")


def open_transactions() -> int:
    """Counts the open transactions of other sessions in this test's database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND state LIKE 'idle in transaction%%'",
            [],
        )
        return int(cursor.fetchone()[0])


def test_killed_collector_counts_nothing_and_the_next_counts_everything_once(workspace: Workspace) -> None:
    seed.fill(workspace.pk, batches=20, each=10)
    kill_in_the_middle_of(COLLECTOR)
    assert not Problem.objects.exists()
    collector.collect()
    counts = [sum(p.count for p in Problem.objects.filter(kind=kind)) for kind in ("RECORDS", "FILES")]
    assert counts == [200, 160]
    assert sum(hour.count for hour in ProblemHour.objects.all()) == 360


def test_job_of_a_killed_process_resumes_at_its_last_commit(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evermuse.wake.publish", lambda task, ids, **_: True)
    seed.fill(workspace.pk, batches=70, each=10)
    collector.collect()
    problem = Problem.objects.filter(kind="FILES").order_by("-count", "id")[0]
    assert problem.count == 70
    job, _ = jobs.request(problem, user_id=None)
    kill_in_the_middle_of(JOB)
    job.refresh_from_db()
    assert (job.state, job.done) == ("RUNNING", 7)
    assert Attachment.objects.filter(state="PENDING").count() == 7
    assert jobs.run_waiting() == 0  # its lease has not expired
    Job.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    jobs.run_waiting()
    job.refresh_from_db()
    assert (job.state, job.total, job.done) == ("DONE", 70, 70)
    assert Attachment.objects.filter(state="PENDING", host=problem.party).count() == 70
