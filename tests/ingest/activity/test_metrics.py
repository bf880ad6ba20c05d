"""/metrics has the figures of the overview, under names with units."""

import re
from typing import Any

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from ingest.activity import rollup
from ingest.models import Workspace
from tests.ingest.activity.rows import ago, attempt, batch, file, reject, roll_up


def scrape(client: Client) -> dict[str, float]:
    """Returns the samples as {'name{label="value"}': value}."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    found = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_every_figure_of_the_overview_has_a_metric(client: Client, workspace: Workspace) -> None:
    sent = batch(workspace, ago(minutes=10), accepted=6, rejected=2)
    reject(sent, 0, ("VALIDATION_ERROR", "/_type"), ("VALIDATION_ERROR", "/_tags/0"))
    batch(workspace, ago(minutes=9), accepted=0, rejected=1, status="FAILED")
    batch(workspace, ago(minutes=8), accepted=4, status="LANDING")
    done = file(sent, "cdn.example:443", completed_at=ago(minutes=7), size=1000)
    attempt(done, ago(minutes=7), "TIMEOUT")
    file(sent, "cdn.example:443", position=1, state="PENDING", next_attempt_at=ago(minutes=6))
    roll_up()
    found = scrape(client)
    of = f'{{workspace="{workspace.name}"}}'
    expected: dict[str, Any] = {
        'evermuse_batches{status="COMPLETE"}': 1, 'evermuse_batches{status="FAILED"}': 1,
        'evermuse_batches{status="LANDING"}': 1, f"evermuse_batches_accepted_total{of}": 3,
        f"evermuse_batches_landed_total{of}": 2, f"evermuse_batches_failed_total{of}": 1,
        f"evermuse_records_sent_total{of}": 13, f"evermuse_records_accepted_total{of}": 10,
        f"evermuse_records_rejected_total{of}": 3,
        'evermuse_rejected_record_errors_total{code="VALIDATION_ERROR"}': 2,
        'evermuse_attachments{state="PENDING"}': 1, 'evermuse_attachments{state="COMPLETE"}': 1,
        'evermuse_attachments_downloaded_total{host="cdn.example:443"}': 1,
        'evermuse_attachment_downloaded_bytes_total{host="cdn.example:443"}': 1000,
        'evermuse_attachment_download_failures_total{code="TIMEOUT",host="cdn.example:443"}': 1,
        'evermuse_vendor_hosts_held{reason="paused"}': 0, 'evermuse_server_up{server="objectStore"}': 1,
        'evermuse_server_up{server="broker"}': 1, 'evermuse_workers{kind="landing"}': 0,
    }  # fmt: skip
    assert {name: found.get(name) for name in expected} == expected
    assert 8 * 60 - 31 <= found["evermuse_oldest_waiting_batch_age_seconds"] <= 9 * 60
    assert 6 * 60 - 31 <= found["evermuse_oldest_waiting_attachment_age_seconds"] <= 7 * 60
    assert found["evermuse_rollup_age_seconds"] < 30
    assert 'evermuse_queue_length_messages{queue="landing"}' in found


def test_scrape_is_exact_before_the_next_rollup_and_counters_never_fall(client: Client, workspace: Workspace) -> None:
    name = f'evermuse_records_accepted_total{{workspace="{workspace.name}"}}'
    batch(workspace, ago(minutes=3), accepted=5)
    before = scrape(client)[name]
    rollup.roll_up()
    batch(workspace, ago(minutes=0), accepted=2)
    seen = [before, scrape(client)[name]]
    rollup.roll_up()
    roll_up()
    assert [*seen, scrape(client)[name]] == [5, 7, 7]


def test_queue_lengths_are_left_out_while_the_broker_is_unavailable(
    client: Client, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERY_BROKER_WRITE_URL", "redis://127.0.0.1:1/0")
    found = scrape(client)
    assert found['evermuse_server_up{server="broker"}'] == 0
    assert not [name for name in found if name.startswith(("evermuse_queue", "evermuse_workers"))]


def test_metric_names_end_with_their_unit(client: Client, db: None) -> None:
    text = client.get("/metrics").content.decode()
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))
    assert all(name.endswith("_total") for name, kind in kinds.items() if kind == "counter")
    assert all(name.endswith("_seconds") for name in kinds if "_age" in name)
