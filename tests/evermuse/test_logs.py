"""Log events for the transitions of a batch, with bound ids; as JSON, one line each, including exceptions."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from celery.signals import task_postrun, task_prerun
from django.test import Client
from structlog import contextvars

from ingest import tasks
from ingest.clients.workspaces import ensure
from ingest.models import Workspace
from ingest.pipeline import landing as pipeline
from ingest.pipeline import transitions
from tests.http_client import INGEST, ApiClient
from tests.records import record

ROOT = Path(__file__).resolve().parent.parent.parent


def events(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [entry.msg for entry in caplog.records if isinstance(entry.msg, dict)]


def test_each_transition_of_a_batch_logs_one_event(api: ApiClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    answer = api.post(record(), x_request_id="given-by-a-proxy")
    batch_id = answer.json()["batchId"]
    pipeline.land_waiting()
    way = [e for e in events(caplog) if e["event"].startswith("batch.")]
    assert [e["event"] for e in way] == ["batch.accepted", "batch.landed", "batch.complete"]
    assert [e.get("batch_id") or e["batch_ids"] for e in way] == [batch_id, [batch_id], [batch_id]]
    assert [e.get("request_id") for e in way] == ["given-by-a-proxy", None, None]
    assert answer["X-Request-ID"] == "given-by-a-proxy"


def test_retry_of_a_failed_batch_is_logged(
    api: ApiClient, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    refused = api.post(record(project_ids=["proj-new"]))
    batch_id = refused.json()["details"]["batchId"]
    for products in ([], [("prod-abc", ["proj-new"])]):
        ensure(name=workspace.name, products=products)
        assert transitions.reopen(int(batch_id[6:]))
        pipeline.land_waiting()
    way = [e["event"] for e in events(caplog) if e["event"].startswith("batch.")]
    assert way == [
        "batch.rejected", "batch.reopened", "batch.failed", "batch.reopened", "batch.landed", "batch.complete",
    ]  # fmt: skip


def test_every_answer_has_a_request_id_and_forged_ids_are_replaced(db: None) -> None:
    for path in ("/healthz", "/nowhere", f"{INGEST}/batches", "/admin/login/"):
        assert len(Client().get(path)["X-Request-ID"]) == 32
    for bad in ("short", "two words here", "x" * 65, "line\nbreak-here"):
        assert Client().get("/healthz", headers={"x-request-id": bad})["X-Request-ID"] != bad
    assert contextvars.get_contextvars() == {}


def test_log_lines_of_a_task_have_its_name_and_id() -> None:
    task = tasks.sweep
    task_prerun.send(sender=task, task_id="t1", task=task)
    assert contextvars.get_contextvars() == {"task": "ingest.sweep", "task_id": "t1"}
    task_postrun.send(sender=task, task_id="t1", task=task)
    assert contextvars.get_contextvars() == {}


WRITES = """
import logging
import django
django.setup()
from evermuse import logs
log = logs.get("x")
log.info("plain.event", text="two\\nlines", odd=b"\\xff", number=1)
try:
    raise ValueError("broken\\nin two")
except ValueError:
    log.exception("failed.event")
    logging.getLogger("library").exception("of the %s", "library")
"""


EXPIRED = """
import celery.worker.request
import django
django.setup()
from celery.contrib.testing.mocks import TaskMessage
from evermuse.celery import app
app.loader.import_default_modules()
message = TaskMessage("ingest.sweep", id="an-id")
message.headers["expires"] = "2026-01-01T00:00:00+00:00"
celery.worker.request.Request(message, app=app, task=app.tasks["ingest.sweep"], hostname="h").revoked()
"""


def test_expired_message_of_a_worker_that_is_behind_is_logged_as_expired() -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXPIRED], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True
    )
    [line] = [line for line in done.stderr.splitlines() if "an-id" in line]
    assert "task.expired" in line
    assert "task=ingest.sweep" in line


def test_json_log_writes_each_event_as_one_line_even_with_an_exception() -> None:
    environment = {**os.environ, "EVERMUSE_LOG_JSON": "true", "DJANGO_SETTINGS_MODULE": "evermuse.settings"}
    done = subprocess.run(
        [sys.executable, "-c", WRITES], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(e["event"], e["level"]) for e in told] == [
        ("plain.event", "info"), ("failed.event", "error"), ("of the library", "error"),
    ]  # fmt: skip
    assert told[0]["text"] == "two\nlines"
    assert all("ValueError: broken" in e["exception"] for e in told[1:])


POOL = """
import django
django.setup()
from billiard.util import error, get_logger
error("too early")
get_logger()
error("Process %r pid:%r exited with %r", "ForkPoolWorker-1", 7, "signal 9 (SIGKILL)")
"""


def test_killed_process_of_the_pool_is_one_event_of_the_json_log() -> None:
    environment = {**os.environ, "EVERMUSE_LOG_JSON": "true", "DJANGO_SETTINGS_MODULE": "evermuse.settings"}
    done = subprocess.run(
        [sys.executable, "-c", POOL], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    [told] = [json.loads(line) for line in done.stderr.splitlines()]
    assert told["event"] == "Process 'ForkPoolWorker-1' pid:7 exited with 'signal 9 (SIGKILL)'"


LEAKS = """
import logging, warnings
import django
django.setup()
import requests
import urllib3
from evermuse import logs
URL = "https://user:PASSWORD-1@files.example/a.mp4?X-Amz-Signature=SECRET-1&é=SECRET-2"
for name in ("urllib3.connectionpool", "urllib3.connection", "requests.adapters"):
    for level in (logging.DEBUG, logging.WARNING, logging.ERROR, logging.CRITICAL):
        logging.getLogger(name).log(level, "said by %s of %s", name, URL)
logging.getLogger("library").warning("Failed to parse headers (url=%s): %r", URL, ValueError(URL))
logging.getLogger("kombu").error("lost redis://:PASSWORD-2@127.0.0.1:6379/0 and amqp://u:PASSWORD-3@h//")
logging.getLogger("celery.app.trace").error("Task x raised unexpected: %s", requests.ConnectionError(f"with url: /a?SECRET-3"))
log = logs.get("x")
log.info("an.event", url=URL, key="em_sk_SECRET-4_aaaaaaaa", many=[URL], odd={"a": (URL,)}, error=ValueError(URL))
try:
    try:
        raise urllib3.exceptions.MaxRetryError(None, "/bucket/key?X-Amz-Signature=SECRET-5", None)
    except urllib3.exceptions.HTTPError as error:
        raise ValueError("Authorization: em_sk_SECRET-6 " + URL) from error
except ValueError:
    log.exception("failed.event")
    logging.getLogger("library").exception("of the library: %s", URL)
from psycopg.errors import UniqueViolation
try:
    raise UniqueViolation('duplicate key value\\nDETAIL:  Key (url)=(SECRET-7) already exists.\\nLINE 1: SELECT SECRET-8')
except UniqueViolation as error:
    log.exception("row.event", error=str(error))
log.info("last.event", why="is it? yes", path="/a")
"""


@pytest.mark.parametrize("as_json", ["true", "false"])
def test_log_lines_of_libraries_hold_no_url_query_password_or_key(as_json: str) -> None:
    environment = {
        **os.environ, "EVERMUSE_LOG_JSON": as_json, "EVERMUSE_LOG_LEVEL": "DEBUG",
        "DJANGO_SETTINGS_MODULE": "evermuse.settings",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", LEAKS], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    said = done.stdout + done.stderr
    assert [word for word in ("SECRET", "PASSWORD", "said by") if word in said] == [], said
    # Useful details remain: the host, the path, the kind of error.
    assert all(
        word in said
        for word in (
            "files.example/a.mp4",
            "MaxRetryError",
            "an.event",
            "duplicate key value",
            "is it? yes",
            "127.0.0.1",
        )
    )
    if as_json == "true":
        assert all(json.loads(line)["event"] for line in done.stderr.splitlines())
