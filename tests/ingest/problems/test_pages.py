"""The problem inbox in the admin: who may do what, what is shown, and what 100,000 failures cost."""

import re
from collections.abc import Callable

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from ingest.models import Workspace
from ingest.problems import collector, selectors, sparkline
from ingest.problems.models import Job, Problem
from tests.http_client import ApiClient
from tests.ingest.problems import seed
from tests.records import record

LIST = "/admin/problems/problem/"


@pytest.fixture
def login(db: None) -> Callable[..., Client]:
    """Returns a browser of a staff user who may see the inbox and has these additional permissions."""

    def make(*permissions: str) -> Client:
        user = User.objects.create_user(f"u{User.objects.count()}", is_staff=True)
        user.user_permissions.set(
            Permission.objects.filter(codename__in=["view_problem", "view_job", "view_alert", *permissions])
        )
        client = Client()
        client.force_login(user)
        return client

    return make


@pytest.fixture
def problem(api: ApiClient) -> Problem:
    """The problem of one rejected record."""
    api.post(record(event_at="x", data={"text": "said in confidence"}))
    collector.collect()
    return Problem.objects.get()


def page(problem: Problem) -> str:
    return f"{LIST}{problem.pk}/change/"


def test_list_shows_open_problems_and_searches_by_text(login: Callable[..., Client], problem: Problem) -> None:
    viewer = login()
    assert b"A field breaks its rule" in viewer.get(LIST).content
    assert b"_event_at" in viewer.get(LIST, {"q": "event_at"}).content
    assert b"A field breaks its rule" not in viewer.get(LIST, {"q": "nothing like it"}).content
    Problem.objects.update(state="RESOLVED")
    assert b"A field breaks its rule" not in viewer.get(LIST).content
    assert b"A field breaks its rule" in viewer.get(LIST, {"state": "all"}).content


def test_viewer_sees_a_problem_without_payloads_and_buttons(login: Callable[..., Client], problem: Problem) -> None:
    seen = login().get(page(problem)).content
    assert b"What to do" in seen
    assert b"said in confidence" not in seen
    assert b'name="act"' not in seen


def test_operator_sees_payloads_and_buttons_of_a_problem(login: Callable[..., Client], problem: Problem) -> None:
    seen = login("operate", "see_payloads").get(page(problem)).content
    assert b"said in confidence" in seen
    assert b'value="retry"' in seen


def test_viewer_cannot_change_a_problem(login: Callable[..., Client], problem: Problem) -> None:
    viewer = login()
    for act in ("mute", "resolve", "reopen", "retry"):
        assert viewer.post(f"{LIST}{problem.pk}/act/", {"act": act}).status_code == 403
        viewer.post(LIST, {"action": act, "_selected_action": [problem.pk]})
    problem.refresh_from_db()
    assert (problem.state, Job.objects.count(), LogEntry.objects.count()) == ("OPEN", 0, 0)


def test_staff_without_permission_sees_nothing_of_the_inbox(problem: Problem) -> None:
    client = Client()
    client.force_login(User.objects.create_user("nobody", is_staff=True))
    for path in (LIST, page(problem), f"{LIST}{problem.pk}/progress/"):
        assert client.get(path).status_code == 403
    assert Client().get(f"{LIST}{problem.pk}/progress/").status_code == 302


def test_operator_changes_the_state_of_a_problem_and_each_change_is_logged(
    login: Callable[..., Client], problem: Problem
) -> None:
    operator = login("operate")
    for act, state in (("mute", "MUTED"), ("resolve", "RESOLVED"), ("reopen", "OPEN")):
        assert operator.post(f"{LIST}{problem.pk}/act/", {"act": act}).status_code == 302
        problem.refresh_from_db()
        assert problem.state == state
    assert [e.change_message for e in LogEntry.objects.order_by("pk")] == ["Muted", "Resolved", "Opened again"]
    operator.post(f"{LIST}{problem.pk}/act/", {"act": "reopen"})
    assert LogEntry.objects.count() == 3


def test_change_of_a_problem_needs_a_post_with_a_csrf_token(login: Callable[..., Client], problem: Problem) -> None:
    operator = login("operate")
    assert operator.get(f"{LIST}{problem.pk}/act/", {"act": "mute"}).status_code == 405
    careful = Client(enforce_csrf_checks=True)
    careful.cookies = operator.cookies
    assert careful.post(f"{LIST}{problem.pk}/act/", {"act": "mute"}).status_code == 403
    problem.refresh_from_db()
    assert problem.state == "OPEN"


def test_selected_problems_are_muted_from_the_list(login: Callable[..., Client], problem: Problem) -> None:
    login("operate").post(LIST, {"action": "mute", "_selected_action": [problem.pk]})
    problem.refresh_from_db()
    assert (problem.state, LogEntry.objects.count()) == ("MUTED", 1)


def test_retry_of_a_problem_makes_one_job_whose_progress_is_shown(
    login: Callable[..., Client], problem: Problem
) -> None:
    operator = login("operate")
    for _ in range(2):
        operator.post(f"{LIST}{problem.pk}/act/", {"act": "retry"})
    job = Job.objects.get()
    assert [e.change_message for e in LogEntry.objects.all()] == [f"Retry all in the group (job: {job.pk})"]
    told = operator.get(f"{LIST}{problem.pk}/progress/").json()["job"]
    assert (told["state"], told["percent"], told["isFinished"]) == ("queued", 0, False)
    assert b"data-running" in operator.get(page(problem)).content
    assert f"Job {job.pk}".encode() in operator.get("/admin/problems/job/").content
    assert operator.get(f"/admin/problems/job/{job.pk}/change/").status_code == 200


def test_new_failure_reopens_a_resolved_problem_and_leaves_a_muted_one_muted(api: ApiClient, problem: Problem) -> None:
    for state, after, alert in (("RESOLVED", "OPEN", True), ("MUTED", "MUTED", False)):
        Problem.objects.update(state=state, is_alert_due=False)
        api.post(record(event_at="x"))
        collector.collect()
        problem.refresh_from_db()
        assert (problem.state, problem.is_alert_due) == (after, alert)
    assert problem.count == 3


def badge(client: Client) -> str:
    """The text beside "Problems" in the sidebar."""
    link = reverse("admin:problems_problem_changelist")
    page = client.get(reverse("admin:index")).content.decode()
    entry = page.partition(f'<a href="{link}"')[2].partition(">")[2].partition("</a>")[0]
    return " ".join(re.sub("<[^>]*>", " ", entry).split()).removeprefix("report Problems").strip()


def test_sidebar_counts_open_problems(login: Callable[..., Client], problem: Problem) -> None:
    client = login("operate")
    assert badge(client) == "1"
    Problem.objects.update(state="MUTED")
    assert badge(client) == ""


def test_page_of_a_problem_has_no_inline_script(login: Callable[..., Client], problem: Problem) -> None:
    content = login("operate").get(page(problem)).content.decode()
    main = content[content.index('id="content-main"') :]
    assert not re.search(r"<script(?![^>]*src)[^>]*>|\son\w+=", main[: main.index("</section>")])


def test_sparkline_has_its_figures_as_text() -> None:
    drawn = sparkline.draw([0] * 22 + [10, 5])
    assert 'aria-label="15 in the last 24 hours, 5 in this hour, 10 at most in an hour"' in drawn
    assert drawn.count("<rect") == 2


def test_pages_of_a_hundred_thousand_failures_take_few_queries_and_no_table_scan(
    login: Callable[..., Client], workspace: Workspace
) -> None:
    seed.fill(workspace.pk, batches=1200, each=49)
    while collector.collect():
        pass
    with connection.cursor() as cursor:
        cursor.execute(WEEK_BEFORE)
        for table in ("problem", "problembatch", "problemhour"):
            cursor.execute(f"ANALYZE problems_{table}")
    records = Problem.objects.filter(kind="RECORDS")
    files = Problem.objects.filter(kind="FILES")
    assert sum(p.count for p in records) == 1200 * 49
    assert sum(p.count for p in files) == 1200 * 40
    assert Problem.objects.count() > 500
    client = login("operate", "see_payloads")
    for path in (LIST, page(records[0]), page(files[0])):
        client.get(path)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(path).status_code == 200
        assert len(queries) <= 16, [q["sql"][:100] for q in queries]
        for query in queries:
            assert not _walks(query["sql"]), query["sql"]
    assert selectors.affected(files[0], before=None).following


WEEK_BEFORE = """
INSERT INTO problems_problemhour (problem_id, hour, count)
SELECT p.id, date_trunc('hour', now()) - n * interval '1 hour', 1 FROM problems_problem p, generate_series(48, 216) AS n
"""
BIG = "lake_rejectedrecord|attachments_attachment|ingest_batch|problems_problembatch|problems_problemhour"


def _walks(statement: str) -> list[str]:
    if not statement.startswith("SELECT"):
        return []
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {statement}")
        return [row[0] for row in cursor.fetchall() if re.search(rf"Seq Scan on ({BIG})\b", row[0])]
