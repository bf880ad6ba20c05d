"""Rollups are exact whenever rows change, also if a round is missed, repeated or run twice at once."""

import itertools
import time
from datetime import timedelta
from types import SimpleNamespace

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from evermuse.advisory_locks import AdvisoryLock
from ingest.activity import measures, rollup, selectors
from ingest.activity.measures import HOUR, MINUTE, floor
from ingest.activity.models import Metric, Rollup, RollupState, StaleMinute
from ingest.models import Batch, Workspace
from tests.http_client import ApiClient
from tests.ingest.activity.rows import ago, attempt, batch, file, reject, roll_up, values
from tests.ingest.landing import send_and_land
from tests.records import record


def know_later(workspace: Workspace) -> None:
    """Adds the project `later` to the workspace."""
    workspace.projects.create(product=workspace.products.get(), project_id="later")


def test_figures_of_a_minute_count_what_was_accepted_in_it(workspace: Workspace, other_workspace: Workspace) -> None:
    at = ago(minutes=7)
    batch(workspace, at - MINUTE, accepted=1)
    batch(workspace, at, accepted=3, rejected=2)
    batch(workspace, at, accepted=0, rejected=4, status="FAILED")
    batch(other_workspace, at, accepted=10)
    roll_up()
    minute = floor(at, MINUTE)
    assert values("minute", at=minute, workspace=workspace) == {
        "batches": 2, "batches_complete": 1, "batches_failed": 1, "batches_landed": 2, "records": 9,
        "records_accepted": 3, "records_rejected": 6,
    }  # fmt: skip
    assert values("minute", at=minute, workspace=other_workspace)["records"] == 10
    assert values("minute", at=minute - MINUTE, workspace=workspace)["records"] == 1


def test_hours_and_counters_are_the_sums_of_minutes(workspace: Workspace) -> None:
    for minutes in (200, 61, 30, 3):
        batch(workspace, ago(minutes=minutes), accepted=minutes)
    roll_up()
    assert values("hour")["records"] == values("ever")["records"] == 3 + 30 + 61 + 200
    hours = {floor(ago(minutes=minutes), HOUR) for minutes in (3, 30, 61, 200)}
    assert set(Rollup.objects.filter(resolution="hour").values_list("at", flat=True)) == hours


def test_repeated_rollup_changes_nothing(workspace: Workspace) -> None:
    for minutes in (4, 3, 2, 1, 0):
        reject(batch(workspace, ago(minutes=minutes), rejected=1), 0, ("VALIDATION_ERROR", "/_type"))
    roll_up()
    before = list(Rollup.objects.order_by("id").values())
    rollup.roll_up()
    RollupState.objects.update(closed_through=ago(minutes=30).replace(second=0))
    roll_up()
    assert list(Rollup.objects.order_by("id").values()) == before


def test_batch_that_lands_after_its_minute_was_counted_is_counted_again(api: ApiClient, workspace: Workspace) -> None:
    api.post([record(), record(project_ids=["later"])])
    at = ago(minutes=20)
    Batch.objects.update(created_at=at)
    roll_up()
    assert RollupState.objects.get().closed_through > at
    minute = floor(at, MINUTE)
    assert values("minute", at=minute) == {
        "batches": 1, "records": 2, "records_accepted": 1, "records_rejected": 1,
        "rejected_reason UNKNOWN_PROJECT /_project_ids/*": 1,
    }  # fmt: skip
    know_later(workspace)
    send_and_land(api, record())
    roll_up()
    landed = {"batches": 1, "records": 2, "records_accepted": 2, "batches_complete": 1}
    assert values("minute", at=minute) == landed
    assert values("hour")["records_accepted"] == 3
    assert not StaleMinute.objects.exists()


def test_counter_never_falls_when_records_change_from_rejected_to_accepted(
    api: ApiClient, workspace: Workspace
) -> None:
    api.post([record(), record(project_ids=["later"])])
    roll_up()
    know_later(workspace)
    send_and_land(api, record())
    roll_up()
    assert values("hour").get("records_rejected", 0) == 0
    assert values("ever")["records_rejected"] == 1
    assert values("ever")["records_accepted"] == 3


def test_rollup_catches_up_after_a_downtime(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    # With this clock each look takes a second, so a round has time for only a few intervals.
    monkeypatch.setattr(rollup, "time", SimpleNamespace(monotonic=itertools.count().__next__))
    monkeypatch.setattr(rollup, "KEEP_MINUTES", timedelta(hours=3))
    long_ago, lately = ago(hours=60), ago(hours=2)
    batch(workspace, long_ago, accepted=5)
    batch(workspace, lately, accepted=7)
    batch(workspace, ago(minutes=0), accepted=1)
    first = rollup.roll_up()
    assert 0 < first < 60
    monkeypatch.setattr(rollup, "time", time)
    roll_up()
    assert values("hour", at=floor(long_ago, HOUR))["records"] == 5
    assert values("minute", at=floor(lately, MINUTE))["records"] == 7
    assert values("ever")["records"] == 13
    assert not Rollup.objects.filter(resolution="minute", at__lt=rollup.minutes_kept_from(timezone.now())).exists()


def test_batch_that_lands_after_its_minutes_were_removed_changes_its_hour(
    api: ApiClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup, "KEEP_MINUTES", timedelta(hours=1))
    api.post([record(), record(project_ids=["later"])])
    at = ago(hours=30)
    Batch.objects.update(created_at=at)
    roll_up()
    assert values("hour", at=floor(at, HOUR))["records_rejected"] == 1
    know_later(workspace)
    send_and_land(api, record())
    roll_up()
    assert values("hour", at=floor(at, HOUR))["records_accepted"] == 2
    assert "records_rejected" not in values("hour", at=floor(at, HOUR))


def test_counters_keep_what_old_minutes_and_hours_counted(workspace: Workspace) -> None:
    batch(workspace, ago(days=91), accepted=5)
    RollupState.objects.create(
        closed_through=floor(ago(days=91), HOUR), changes_through=timezone.now(), ran_at=timezone.now()
    )
    rollup._count(measures.Stretch(Rollup.Resolution.HOUR, floor(ago(days=91), HOUR)), is_stale=False, now=ago(days=80))
    assert values("hour")["records"] == 5
    rollup._prune(timezone.now())
    assert (values("hour"), values("ever")["records"]) == ({}, 5)


def test_reasons_count_a_record_once_for_each_of_its_distinct_errors(workspace: Workspace) -> None:
    sent = batch(workspace, ago(minutes=4), rejected=3)
    reject(sent, 0, ("VALIDATION_ERROR", "/_participants/0/email"), ("VALIDATION_ERROR", "/_participants/17/email"))
    reject(sent, 1, ("VALIDATION_ERROR", "/_participants/3/email"), ("UNKNOWN_PRODUCT", "/_product_id"))
    reject(sent, 2, ("VALIDATION_ERROR", '/_x\u0000\ud800\U0001f600"\\/2/a'))
    roll_up()
    reasons = {name: n for name, n in values("minute").items() if name.startswith("rejected_reason")}
    assert reasons == {
        "rejected_reason VALIDATION_ERROR /_participants/*/email": 2,
        "rejected_reason UNKNOWN_PRODUCT /_product_id": 1,
        r"rejected_reason VALIDATION_ERROR /_x\ufffd\ufffd\ufffd\ufffd\"\\/*/a": 1,
    }
    assert values("ever")["rejected_reason VALIDATION_ERROR"] == 3


def test_labels_chosen_by_clients_are_limited_in_number(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "MAX_LABELS", 2)
    monkeypatch.setattr(rollup, "MAX_COUNTER_LABELS", 3)
    instants = {4: ago(minutes=4), 3: ago(minutes=3)}
    for minutes, at in instants.items():
        sent = batch(workspace, at)
        for number in range(4):
            for times in range(number + 1):
                name = f"host{number}-{minutes}"
                attempt(file(sent, name, position=10 * number + times), at, "TIMEOUT")
    roll_up()
    minute = values("minute", at=floor(instants[4], MINUTE))
    assert {name: n for name, n in minute.items() if "failures" in name} == {
        "download_failures host3-4 TIMEOUT": 4, "download_failures host2-4 TIMEOUT": 3, "download_failures other": 3,
    }  # fmt: skip
    counters = [name for name in values("ever") if "failures" in name]
    assert (len(counters), sum(values("ever")[name] for name in counters)) == (3, 20)


def test_downloads_are_counted_by_host_when_they_end(workspace: Workspace) -> None:
    at = ago(minutes=5)
    sent = batch(workspace, ago(minutes=50))
    done = file(sent, "cdn.example:443", completed_at=at, size=1000)
    attempt(done, at, "TIMEOUT", token=1)
    attempt(done, at, "OK", token=2)
    attempt(done, at, "INTERRUPTED", token=3)
    file(sent, "cdn.example:443", position=1, completed_at=at, size=500)
    file(sent, "cdn.example:443", position=2, state="PENDING")
    roll_up()
    found = values("minute", at=floor(at, MINUTE))
    assert found == {
        "files cdn.example:443": 2, "file_bytes cdn.example:443": 1500, "download_failures cdn.example:443 TIMEOUT": 1,
    }  # fmt: skip


def test_rollup_skips_its_round_while_another_one_runs(workspace: Workspace) -> None:
    batch(workspace, ago(minutes=4))
    parameters = connection.get_connection_params()
    other = psycopg.connect(**{k: parameters[k] for k in ("host", "port", "user", "password", "dbname")})
    with other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [int(AdvisoryLock.ROLL_UP)])
        assert rollup.roll_up() == 0
        assert not Rollup.objects.exists()
    roll_up()
    assert values("ever")["batches"] == 1


def test_totals_are_exact_before_and_after_a_rollup(workspace: Workspace) -> None:
    batch(workspace, ago(minutes=4), accepted=5)
    batch(workspace, ago(minutes=0), accepted=2, rejected=1)
    expected = {
        Metric.BATCHES: 2, Metric.BATCHES_COMPLETE: 2, Metric.RECORDS: 8, Metric.RECORDS_ACCEPTED: 7,
        Metric.RECORDS_REJECTED: 1, Metric.BATCHES_LANDED: 2,
    }  # fmt: skip
    assert {metric: selectors.total(selectors.totals(), metric) for metric in expected} == expected
    roll_up()
    assert {metric: selectors.total(selectors.totals(), metric) for metric in expected} == expected
    batch(workspace, timezone.now() - timedelta(seconds=1), accepted=2)
    assert selectors.total(selectors.totals(), Metric.RECORDS_ACCEPTED) == 9
