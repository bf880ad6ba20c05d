"""A worker and beat with JSON logs write nothing but JSON, from their start to their end."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from deploy.local.embedded import Servers

ROOT = Path(__file__).resolve().parent.parent.parent
# Queues of the test run's broker that no other test reads, so that no message of theirs is taken.
BROKER_NUMBER = 11


@pytest.mark.parametrize(
    ("words", "event", "ready"),
    [
        (
            ("worker", "-P", "prefork", "-c", "1", "-Q", "landing"),
            "worker.started",
            "ready.",
        ),
        (("beat", "--schedule", "{tmp}/schedule", "--pidfile="), "beat.started", "beat.started"),
    ],
    ids=["worker", "beat"],
)
def test_every_line_of_a_process_is_an_event_in_json(
    words: tuple[str, ...], event: str, ready: str, servers: Servers, tmp_path: Path
) -> None:
    broker = servers.environment["CELERY_BROKER_URL"].rpartition("/")[0]
    environment = {
        **os.environ, "EVERMUSE_LOG_JSON": "true", "CELERY_BROKER_URL": f"{broker}/{BROKER_NUMBER}",
        # As by `make run`: a warning that Python or a library shows at the start is a line too.
        "PYTHONWARNINGS": "default",
    }  # fmt: skip
    started = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "evermuse", *(word.format(tmp=tmp_path) for word in words)],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    too_late = threading.Timer(120, started.kill)
    too_late.start()
    assert started.stdout is not None
    lines = []
    for line in started.stdout:
        lines.append(line)
        if ready in line:
            started.terminate()
    too_late.cancel()
    started.wait(60)
    events = [json.loads(line) for line in lines]
    assert all({"event", "level", "timestamp", "logger"} <= set(one) for one in events)
    said = [one["event"] for one in events]
    assert event in said, said
    if event == "worker.started":
        assert "worker: Warm shutdown (MainProcess)" in said, said
        # One line for all that Celery says about root.
        assert sum("SecurityWarning" in one for one in said) == (os.geteuid() == 0)
