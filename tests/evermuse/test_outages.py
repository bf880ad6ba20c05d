"""While a server is away, every log line is one line: clear, and without a traceback."""

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import amqp.exceptions
import django.db
import psycopg
import pytest
import redis
from kombu import Connection
from kombu.exceptions import OperationalError as BrokerError

from deploy.local.embedded import Servers
from evermuse import outages
from evermuse.celery import app
from evermuse.errors import StoreUnavailable
from ingest.problems import alerts, sweeper

ROOT = Path(__file__).resolve().parent.parent.parent
CELERY = ("-m", "celery", "-A", "evermuse")
WORKER = (*CELERY, "worker", "-P", "threads", "-c", "1", "-Q", "maintenance", "--without-mingle", "--without-gossip")
NOBODY = "127.0.0.1:1"


def lines_until(wanted: set[str], *words: str, **environment: str) -> list[str]:
    """Starts a process that logs, and ends it when all wanted texts were logged, or after a minute."""
    started = subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True
    )
    too_late = threading.Timer(60, started.kill)
    too_late.start()
    missing, lines = set(wanted), []
    assert started.stderr is not None
    for line in started.stderr:
        lines.append(line.rstrip("\n"))
        # Once, because a worker logs each signal.
        if missing and not (missing := {text for text in missing if text not in line}):
            started.terminate()
    too_late.cancel()
    started.wait(60)
    assert not missing, lines
    return lines


def test_tasks_of_a_worker_without_postgresql_log_one_line_each(servers: Servers) -> None:
    tasks = {"problems.step_failed", "task=ingest.sweep ", "task=attachments.sweep ", "task=ingest.write_journal "}
    lines = lines_until(tasks, *WORKER, DATABASE_URL=f"postgresql://u:p@{NOBODY}/n")
    told = [line for line in lines if "task=" in line]
    assert all("OperationalError: connection failed" in line for line in told), told
    assert (
        sum("problems.step_failed" in line for line in told) == sum("task=problems.sweep " in line for line in told) > 0
    )
    assert [line for line in lines if line.startswith(("Traceback", "  File", "\tIs the server"))] == []


BEAT = """
import django
django.setup()
from evermuse.celery import app
from celery.beat import PersistentScheduler
scheduler = PersistentScheduler(app, schedule_filename="%s")
for entry in scheduler.schedule.values():
    scheduler.apply_entry(entry)
"""


def test_beat_whose_broker_is_lost_logs_one_line_for_each_task(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEAT % (tmp_path / "schedule")], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "CELERY_BROKER_URL": f"redis://{NOBODY}/0", "DJANGO_SETTINGS_MODULE": "evermuse.settings"},
    )  # fmt: skip
    lines = done.stderr.splitlines()
    for name in app.conf.beat_schedule:
        assert sum(f"scheduled task {name}: Error" in line for line in lines) == 1, lines
    assert all(line.endswith("Connection refused. [celery.beat]") for line in lines), lines


def failure_of_django() -> BaseException:
    with pytest.raises(psycopg.OperationalError) as raised:
        psycopg.connect(f"postgresql://u:p@{NOBODY}/n")
    wrapped = django.db.OperationalError("connection failed")
    wrapped.__cause__ = raised.value
    return wrapped


def failure_of_the_broker() -> BaseException:
    with pytest.raises(BrokerError) as raised:
        Connection(f"redis://{NOBODY}/0").ensure_connection(max_retries=1)
    return raised.value


def test_errors_of_servers_that_are_away_are_recognised() -> None:
    away = [
        failure_of_django(),
        failure_of_the_broker(),
        psycopg.InterfaceError("the connection is closed"),
        psycopg.errors.AdminShutdown("terminating connection due to administrator command"),
        redis.TimeoutError("Timeout reading from socket"),
        StoreUnavailable("it takes no connection"),
        amqp.exceptions.RecoverableConnectionError("connection already closed"),
        amqp.exceptions.ConnectionForced("broker forced connection closure with reason 'shutdown'"),
    ]
    assert [error for error in away if not outages.is_away(error)] == []


ACK = """
import importlib, django
from unittest.mock import Mock
from kombu.message import Message
django.setup()
from celery.worker.request import logger
error = importlib.import_module("%s").%s
channel = Mock(no_ack_consumers=None)
channel.basic_ack.side_effect = error(*%r)
Message(channel=channel, delivery_tag=7).ack_log_error(logger, (error,))
"""


@pytest.mark.parametrize(
    "error",
    [amqp.exceptions.RecoverableConnectionError("connection already closed"), ConnectionResetError(104, "reset")],
)
def test_message_that_cannot_be_acknowledged_on_a_lost_connection_is_one_line(error: Exception) -> None:
    script = ACK % (type(error).__module__, type(error).__qualname__, error.args)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "evermuse.settings"},
    )  # fmt: skip
    [line] = done.stderr.splitlines()
    assert "Couldn't ack 7" in line


def test_errors_of_our_code_are_no_outage() -> None:
    ours = [
        ValueError("x"),
        psycopg.errors.DeadlockDetected("deadlock detected"),
        psycopg.errors.QueryCanceled("canceling statement due to statement timeout"),
        psycopg.errors.UndefinedColumn("column x does not exist"),
        psycopg.InterfaceError("the cursor is closed"),
        django.db.OperationalError("no partition after 2 s"),
    ]
    assert [error for error in ours if outages.is_away(error)] == []


def test_sweeper_without_the_database_stops_at_its_first_step(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise failure_of_django()

    monkeypatch.setattr(alerts, "watch_backlogs", fail)
    monkeypatch.setattr(alerts, "watch_old_payloads", lambda: pytest.fail("there is no database for it"))
    caplog.set_level(logging.ERROR)
    sweeper.sweep()
    assert len([entry for entry in caplog.records if "problems.step_failed" in str(entry.msg)]) == 1
