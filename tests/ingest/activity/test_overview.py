"""The admin's index page, and the JSON with which it refreshes itself."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from attachments.models import VendorHost
from ingest import failure_codes
from ingest.activity import notices, rollup
from ingest.activity.selectors import Standing
from ingest.activity.surroundings import Surroundings
from ingest.models import Batch, Workspace
from lake.models import RestoreMark
from lake.restore import marks
from tests import anchors
from tests.ingest.activity.rows import ago, attempt, batch, file, reject, roll_up


@pytest.fixture
def boss(db: None, client: Client) -> Client:
    client.force_login(get_user_model().objects.create_superuser("boss", "", "secret"))
    return client


@pytest.fixture
def filled(workspace: Workspace, other_workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Records: 100 sent 30 hours ago, 50 sent 3 hours ago, 8 recent ones with 2 rejected and files; 1000 elsewhere."""
    monkeypatch.setattr(rollup, "KEEP_MINUTES", timedelta(hours=1))
    batch(workspace, ago(hours=30), accepted=100)
    batch(workspace, ago(hours=3), accepted=50)
    sent = batch(workspace, ago(minutes=10), accepted=6, rejected=2)
    reject(sent, 0, ("VALIDATION_ERROR", "/_participants/3/email"))
    reject(sent, 1, ("VALIDATION_ERROR", "/_participants/5/email"), ("VALIDATION_ERROR", "/_type"))
    batch(workspace, ago(minutes=9), accepted=0, rejected=0, status="FAILED")
    batch(workspace, ago(minutes=8), accepted=4, status="LANDING")
    done = file(sent, "cdn.example:443", completed_at=ago(minutes=7), size=3 * 1024**2)
    attempt(done, ago(minutes=7), "TIMEOUT")
    file(sent, "cdn.example:443", position=1, state="PENDING", next_attempt_at=ago(minutes=6))
    batch(other_workspace, ago(minutes=5), accepted=1000)
    VendorHost.objects.create(host="cdn.example:443", paused_at=ago(minutes=1))
    roll_up()
    return workspace


def figures(client: Client, **query: str | int) -> dict[str, Any]:
    answer = client.get(reverse("overview"), query)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(("period", "records", "steps"), [("1h", 12, 60), ("24h", 62, 24), ("7d", 162, 168)])
def test_overview_of_a_workspace_covers_the_chosen_period(
    boss: Client, filled: Workspace, period: str, records: int, steps: int
) -> None:
    found = figures(boss, period=period, workspace=filled.pk)
    assert found["figures"]["records"] == records
    assert found["figures"]["records_rejected"] == 2
    chart = found["charts"]["records"]
    assert len(chart["labels"]) == len(chart["series"][0]["values"]) == steps
    assert sum(sum(one["values"]) for one in chart["series"]) == records


def test_overview_without_a_workspace_sums_all_workspaces(boss: Client, filled: Workspace) -> None:
    found = figures(boss)["figures"]
    assert (found["records"], found["records_accepted"], found["batches"]) == (1012, 1010, 4)
    assert found["batches_by_status"] == {"LANDING": 1, "LANDED": 0, "PROCESSING": 0, "COMPLETE": 4, "FAILED": 1}
    assert found["attachments_by_state"] == {"PENDING": 1, "IN_PROGRESS": 0, "COMPLETE": 1, "FAILED": 0}
    assert 8 * 60 - 31 <= found["oldest_waiting_batch_seconds"] <= 9 * 60
    assert 6 * 60 - 31 <= found["oldest_waiting_attachment_seconds"] <= 7 * 60
    assert (found["files"], found["file_bytes"], found["download_failures"]) == (1, 3 * 1024**2, 1)


def test_overview_of_a_workspace_shows_nothing_that_waits_in_another(
    boss: Client, filled: Workspace, other_workspace: Workspace
) -> None:
    found = figures(boss, workspace=other_workspace.pk)["figures"]
    assert found["batches_by_status"] == {"LANDING": 0, "LANDED": 0, "PROCESSING": 0, "COMPLETE": 1, "FAILED": 0}
    assert (found["oldest_waiting_batch_seconds"], found["oldest_waiting_attachment_seconds"]) == (None, None)
    assert (found["records"], found["files"]) == (1000, 0)


def test_refreshed_part_of_the_overview_has_servers_queues_and_workers(boss: Client) -> None:
    found = figures(boss)
    assert found["figures"]["servers"] == {"database": "ok", "broker": "ok", "redis": "ok", "objectStore": "ok"}
    assert set(found["figures"]["queues"]) == {"landing", "attachments", "maintenance"}
    assert found["figures"]["workers"] == {"landing": 0, "attachments": 0, "maintenance": 0}
    for queue in found["figures"]["workers"]:
        assert f"No {queue} worker is seen." in found["parts"]["notices"]


def test_every_notice_of_the_overview_links_to_a_runbook_that_exists(workspace: Workspace) -> None:
    batch(workspace, ago(seconds=1), status="LANDING", failure_code=failure_codes.DEPLOYMENT_FAULT)
    away = {"database": "not migrated", "broker": "away", "redis": "away", "objectStore": "away"}
    around = Surroundings(away, queues=None, workers={"landing": 0})
    waiting = Standing(batches={}, files={}, oldest_batch_seconds=301, oldest_file_seconds=301)
    marks.row()
    RestoreMark.objects.update(set_back_at=timezone.now())
    found = notices.of(waiting, around, lag=None, behind=301)
    assert len(found) == 11
    assert [one.runbook for one in found if not anchors.exists(one.runbook)] == []


def test_overview_says_that_landing_waits_for_the_deployment(boss: Client, workspace: Workspace) -> None:
    waiting = batch(workspace, ago(seconds=1), status="LANDING", failure_code="STORE_UNAVAILABLE")
    assert "does not fit the database" not in boss.get(reverse("admin:index")).content.decode()
    Batch.objects.filter(pk=waiting.pk).update(failure_code=failure_codes.DEPLOYMENT_FAULT)
    assert "does not fit the database" in boss.get(reverse("admin:index")).content.decode()


def test_overview_says_that_a_store_answers_and_takes_no_records(boss: Client, workspace: Workspace) -> None:
    batch(workspace, ago(seconds=1), status="LANDING", failure_code=failure_codes.STORE_UNAVAILABLE)
    assert "its disk is full" in figures(boss)["parts"]["notices"]
    Batch.objects.update(failure_code="")
    assert "its disk is full" not in figures(boss)["parts"]["notices"]


def test_overview_metric_and_alert_say_that_a_restored_database_was_not_checked(boss: Client) -> None:
    marks.row()
    assert "restorecheck" not in figures(boss)["parts"]["notices"]
    assert "evermuse_restore_check_needed 0.0" in boss.get("/metrics").content.decode()
    RestoreMark.objects.update(set_back_at=timezone.now())
    assert "run manage.py restorecheck" in figures(boss)["parts"]["notices"]
    assert "evermuse_restore_check_needed 1.0" in boss.get("/metrics").content.decode()


def test_overview_reports_an_unavailable_broker_without_waiting_for_it(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERY_BROKER_WRITE_URL", "redis://127.0.0.1:1/0")
    found = figures(boss)
    assert found["figures"]["servers"]["broker"] == "away"
    assert (found["figures"]["queues"], found["figures"]["workers"]) == (None, None)
    assert "unknown" in found["parts"]["surroundings"]


def test_overview_shows_figures_reasons_hosts_and_links_to_lists(boss: Client, filled: Workspace) -> None:
    page = boss.get(reverse("admin:index"), {"workspace": filled.pk}).content.decode()
    of = f"workspace__id__exact={filled.pk}"
    for text in (
        "/_participants/*/email", "cdn.example:443", "paused", "3.1 MB", "TIMEOUT 1", "16.7 %", "Downloads per minute",
        f"{reverse('admin:ingest_batch_changelist')}?status__exact=FAILED&amp;{of}",
        f"{reverse('admin:ingest_batch_changelist')}?status__exact=LANDING&amp;{of}",
        f"{reverse('admin:attachments_attachment_changelist')}?state__exact=PENDING&amp;{of}",
    ):  # fmt: skip
        assert text in page, text
    assert boss.get(f"{reverse('admin:ingest_batch_changelist')}?status__exact=FAILED&{of}").status_code == 200


def test_every_chart_of_the_overview_has_its_figures_as_text(boss: Client, filled: Workspace) -> None:
    page = boss.get(reverse("admin:index")).content.decode()
    assert 'aria-label="Records in the last hour: 1,010 accepted, 2 rejected."' in page
    assert page.count('role="img"') == page.count("as a table</summary>") == 4


def test_links_of_the_overview_keep_period_and_workspace_without_a_script(boss: Client, filled: Workspace) -> None:
    page = boss.get(f"{reverse('admin:index')}?period=24h&workspace={filled.pk}").content.decode()
    assert f'href="?period=7d&amp;workspace={filled.pk}"' in page
    assert f'<option value="{filled.pk}" selected>' in page
    assert '<input type="hidden" name="period" value="24h">' in page


@pytest.mark.parametrize(
    "query", ["period=never", "workspace=x", "workspace=99999999", "workspace=²", "period=1h&period=x"]
)
def test_invalid_choice_on_the_overview_shows_the_default_page(boss: Client, query: str) -> None:
    assert boss.get(f"{reverse('admin:index')}?{query}").status_code == 200
    assert boss.get(f"{reverse('overview')}?{query}").status_code == 200


def test_overview_of_an_empty_deployment_says_what_to_do_next(boss: Client, workspace: Workspace) -> None:
    assert "Nothing has been sent yet" in boss.get(reverse("admin:index")).content.decode()
    batch(workspace, ago(minutes=1))
    assert "Nothing has been sent yet" not in boss.get(reverse("admin:index")).content.decode()


def test_overview_requires_a_login(db: None, client: Client) -> None:
    for path in (reverse("admin:index"), reverse("overview")):
        answer = client.get(path)
        assert (answer.status_code, answer["Location"].split("?")[0]) == (302, reverse("admin:login"))


def test_overview_links_only_to_lists_that_the_user_may_see(db: None, client: Client, workspace: Workspace) -> None:
    user = get_user_model().objects.create_user("eve", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_batch"))
    client.force_login(user)
    batch(workspace, ago(minutes=1))
    page = client.get(reverse("admin:index")).content.decode()
    assert f'href="{reverse("admin:ingest_batch_changelist")}"' in page
    for other in ("ingest_apikey", "lake_record", "attachments_attachment", "auth_user"):
        assert f'href="{reverse(f"admin:{other}_changelist")}' not in page


def test_overview_takes_a_bounded_number_of_queries(
    boss: Client, filled: Workspace, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    with django_assert_max_num_queries(22):
        boss.get(reverse("admin:index"), {"period": "7d"})


def test_names_chosen_by_clients_are_escaped_on_the_overview(boss: Client, workspace: Workspace) -> None:
    sent = batch(workspace, ago(minutes=5), rejected=1)
    reject(sent, 0, ("VALIDATION_ERROR", "/<img src=x onerror=alert(1)>"))
    file(sent, "<script>alert(1)</script>", completed_at=ago(minutes=5), size=1)
    roll_up()
    assert b"<img src=x" not in boss.get(reverse("admin:index")).content
    parts = figures(boss)["parts"]
    assert "<img src=x" not in parts["reasons"] and "&lt;img" in parts["reasons"]
    assert "<script>" not in parts["hosts"] and "&lt;script" in parts["hosts"]


def test_overview_names_failed_uploads_as_uploads_and_not_as_a_host(boss: Client, workspace: Workspace) -> None:
    landed = batch(workspace, ago(minutes=3))
    attempt(file(landed, "", state="FAILED", error_code="UNKNOWN_INTENT"), ago(minutes=3), "UNKNOWN_INTENT")
    roll_up()
    page = boss.get(reverse("admin:index")).content.decode()
    assert "uploaded by clients" in page
    assert "UNKNOWN_INTENT 1" in page
    assert "q=UNKNOWN_INTENT" not in page
