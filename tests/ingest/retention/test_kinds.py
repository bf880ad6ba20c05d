"""Every kind of row that expires has a setting, a line on the overview, and a dry run that lists exactly its rows."""

import json
from datetime import datetime, timedelta
from io import StringIO
from typing import Any
from unittest import mock

import pytest
from django.conf import settings as product_settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.models import Model
from django.test import Client
from django.utils import timezone

import evermuse.retention
from attachments.models import AttachmentTally, UploadIntent
from evermuse import public_ids
from ingest import retention
from ingest.models import IdempotencyKey, ProcessorRun, RetentionRun, Workspace
from ingest.problems.models import Alert, Job, Problem, ProblemBatch
from lake.models import BatchOutcomes, RecordVersion
from tests.http_client import ApiClient
from tests.ingest.activity.rows import attempt, batch, file, reject
from tests.ingest.landing import send_and_land, versions

DAY = timedelta(days=1)


def ago(days: float) -> datetime:
    return timezone.now() - timedelta(days=days)


def problem(workspace: Workspace, code: str, seen: datetime) -> Problem:
    return Problem.objects.create(
        kind="RECORDS", code=code, workspace=workspace, first_seen_at=seen, last_seen_at=seen, opened_at=seen
    )


@pytest.fixture
def old_and_new(workspace: Workspace, api: ApiClient) -> dict[str, set[str]]:
    """One expired row of every kind and one that has not expired; returns the dry run's names of the expired ones by kind."""
    boss = User.objects.create_superuser("boss", "", "secret")
    gone: dict[str, set[str]] = {}
    for days in (100, 10):
        at = ago(days)
        made = batch(workspace, at, rejected=1)
        reject(made, 0, ("VALIDATION_ERROR", "/x"))
        made_outcomes(made.pk)
        attempt(file(made, "a.example:443", completed_at=at), at, "OK")
        AttachmentTally.objects.create(batch=made, total=1, complete=1)
        group = problem(workspace, f"CODE{days}", at)
        ProblemBatch.objects.create(problem=group, batch=made, count=1, last_seen_at=at)
        still_seen = Problem.objects.filter(code="STILL").first() or problem(workspace, "STILL", ago(1))
        job = Job.objects.create(problem=still_seen, state="DONE", created_at=at, finished_at=at)
        alert = Alert.objects.create(channel="EMAIL", event="TEST", body={}, created_at=at, sent_at=at)
        intent = UploadIntent.objects.create(
            workspace=workspace, token=f"upl_{days}", created_at=at, expires_at=at, is_cleared=True
        )
        log = boss.logentry_set.create(
            content_type=ContentType.objects.get_for_model(User), object_id="1", object_repr="x", action_flag=2
        )
        type(log).objects.filter(pk=log.pk).update(action_time=at)
        IdempotencyKey.objects.create(
            workspace=workspace, key=f"{days:032}".encode(), fingerprint=b"", batch=made, answer="{}",
            created_at=at if days == 100 else timezone.now(),
        )  # fmt: skip
        ProcessorRun.objects.create(batch=made, processor="words", settled_at=at)
        if days == 100:
            named = {public_ids.of_batch(made.pk)}
            gone = {
                "rejected-records": named, "outcomes": named, "download-attempts": named, "processor-runs": named,
                "problem-groups": {str(group.pk)}, "jobs": {str(job.pk)}, "alerts": {str(alert.pk)},
                "uploads": {intent.token}, "audit-log": {str(log.pk)},
            }  # fmt: skip
    Session.objects.create(session_key="old", session_data="", expire_date=ago(1))
    Session.objects.create(session_key="new", session_data="", expire_date=timezone.now() + DAY)
    for text in ("1", "2", "3"):
        batch_id = send_and_land(api, [versions(text)])
    old = RecordVersion.objects.get(version=1)
    RecordVersion.objects.filter(version=1).update(replaced_at=ago(100))
    gone["replaced-versions"] = {f"{public_ids.of_record(old.record_id)} version 1"}
    assert batch_id
    return gone


def made_outcomes(batch_id: int) -> None:
    BatchOutcomes.objects.create(batch_id=batch_id, letters="c", record_ids=bytes(16))


def told(*kinds: str) -> dict[str, Any]:
    out = StringIO()
    call_command("removeexpired", *kinds, "--dry-run", stdout=out)
    answer = json.loads(out.getvalue())
    assert answer["dryRun"] is True
    return {one["kind"]: one for one in answer["kinds"]}


def test_dry_run_lists_exactly_what_is_removed_later(old_and_new: dict[str, set[str]]) -> None:
    first = told()
    assert {name: one["expired"] for name, one in told().items()} == {
        name: one["expired"] for name, one in first.items()
    }
    for kind, names in old_and_new.items():
        assert {str(one) for one in first[kind]["expired"]} == names, kind
    removed = retention.remove_expired(seconds=60)
    for kind, one in first.items():
        assert removed[kind] == one["rows"], kind
    assert all(one["rows"] == 0 for one in told().values()), "a second run finds nothing"


def test_rows_that_have_not_expired_are_kept(old_and_new: dict[str, set[str]], workspace: Workspace) -> None:
    retention.remove_expired(seconds=60)
    assert set(Problem.objects.values_list("code", flat=True)) == {"CODE10", "STILL"}
    assert ProblemBatch.objects.count() == Job.objects.count() == Alert.objects.count() == 1
    assert [one.token for one in UploadIntent.objects.all()] == ["upl_10"]
    assert [one.session_key for one in Session.objects.all()] == ["new"]
    assert [one.version for one in RecordVersion.objects.all()] == [2]
    assert IdempotencyKey.objects.count() == 1


def test_every_kind_has_a_unique_name_and_a_setting_of_days() -> None:
    assert len({kind.name for kind in retention.KINDS}) == len(retention.KINDS)
    chosen_by_workspaces = {kind.name for kind in retention.KINDS if kind.setting is None}
    assert chosen_by_workspaces == {"records", "attachments"}
    for kind in retention.KINDS:
        if kind.setting is None:
            continue
        assert kind.setting.startswith("EVERMUSE_") and kind.setting.endswith("_RETENTION_DAYS")
        assert kind.days == getattr(product_settings, kind.setting)


def test_huge_number_of_days_keeps_rows_for_ever(old_and_new: dict[str, set[str]], settings: Any) -> None:
    settings.EVERMUSE_ALERT_RETENTION_DAYS = 10**9
    assert told("alerts")["alerts"]["expired"] == []


def test_unknown_kind_is_rejected_with_a_list_of_the_known_ones() -> None:
    with pytest.raises(CommandError, match=r"unknown: nonsense; there are .*rejected-records"):
        call_command("removeexpired", "nonsense")


def test_removeexpired_removes_only_the_given_kinds(old_and_new: dict[str, set[str]]) -> None:
    out = StringIO()
    call_command("removeexpired", "jobs", stdout=out)
    assert json.loads(out.getvalue()) == {"dryRun": False, "removed": {"jobs": 1}}
    assert Alert.objects.count() == 2


def test_removeexpired_fails_and_names_the_kinds_that_failed(
    old_and_new: dict[str, set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = evermuse.retention.run

    def fails(kind: Any, **options: Any) -> Any:
        if kind.name == "alerts":
            raise RuntimeError("made by the test")
        return run(kind, **options)

    monkeypatch.setattr(evermuse.retention, "run", fails)
    out = StringIO()
    with pytest.raises(CommandError, match=r"^failed: alerts;"):
        call_command("removeexpired", "jobs", "alerts", stdout=out)
    assert json.loads(out.getvalue()) == {"dryRun": False, "removed": {"jobs": 1}}


def test_removeexpired_without_a_database_fails_before_any_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ensure_connection", mock.Mock(side_effect=OperationalError("connection failed")))
    out = StringIO()
    with pytest.raises(OperationalError):
        call_command("removeexpired", "jobs", stdout=out)
    assert out.getvalue() == ""


@pytest.mark.parametrize(
    ("model", "change"),
    [
        (Alert, {"next_attempt_at": timezone.now(), "sent_at": None}),
        (Job, {"state": "RUNNING"}),
        (UploadIntent, {"is_cleared": False}),
    ],
    ids=["an alert that is still to be sent", "a job that runs", "an upload whose object is there"],
)
def test_rows_that_are_still_needed_never_expire(
    old_and_new: dict[str, set[str]], model: type[Model], change: dict[str, Any]
) -> None:
    Job.objects.filter(created_at__gt=ago(50)).delete()  # only one job of a problem may run at a time
    rows = model._default_manager
    rows.update(**change)
    before = rows.count()
    retention.remove_expired(now=timezone.now() + timedelta(days=1000), seconds=60)
    assert before == rows.count() > 0


def test_failure_of_one_kind_does_not_stop_the_others(
    old_and_new: dict[str, set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lake.retention.RejectedRecord", None)
    removed = retention.remove_expired(seconds=60)
    assert "rejected-records" not in removed
    assert removed["alerts"] == 1


def test_overview_has_a_line_for_each_kind(old_and_new: dict[str, set[str]], client: Client) -> None:
    client.force_login(get_user_model().objects.get(username="boss"))
    assert "Retention has not run yet" in client.get("/admin/").content.decode()
    retention.remove_expired(seconds=60)
    page = client.get("/admin/").content.decode()
    for run in RetentionRun.objects.all():
        assert run.title in page
    assert "90 days" in page
    assert RetentionRun.objects.count() == len(retention.KINDS)
    assert RetentionRun.objects.get(kind="alerts").removed == 1
