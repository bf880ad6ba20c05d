"""An outage writes few log lines: the first, some at growing intervals, and one when it is over."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from evermuse import outage_lines
from evermuse.outage_lines import QUIET_SECONDS, REPEATED, Thinner

ROOT = Path(__file__).resolve().parent.parent.parent
APPS, THINNER = ("attachments", "evermuse", "ingest", "lake"), ROOT / "evermuse" / "outage_lines.py"
AWAY = {"event": "landing.store_away", "error": "it takes no connection"}


class Written(logging.Handler):
    """What reaches a handler with the filter, and a clock of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.lines: list[tuple[float, Any]] = []
        self.addFilter(Thinner(lambda: self.now))
        self.logger = logging.Logger("a.library")
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((self.now, record.msg))

    def say(self, *events: dict[str, Any], seconds: float = 0.0) -> None:
        """Logs the events once, or in each half second of this time."""
        for _ in range(max(1, round(2 * seconds))):
            for event in events:
                self.logger.warning(event)
            self.now += 0.5


@pytest.fixture
def written() -> Iterator[Written]:
    """Also removes the logger's handler, so that no later test sees it."""
    made = Written()
    yield made
    made.logger.removeHandler(made)


def test_an_outage_is_logged_at_growing_intervals_with_the_count_of_lines_left_out(written: Written) -> None:
    written.say(AWAY, seconds=100)
    assert [at for at, _ in written.lines] == [0, 10, 30, 70]
    assert [line.get("left_out") for _, line in written.lines] == [None, 19, 39, 79]


def test_the_first_line_after_an_outage_says_that_it_is_over(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[dict[str, Any]] = []
    monkeypatch.setattr(
        outage_lines, "log", type("Log", (), {"warning": lambda _, event, **kw: said.append({"event": event, **kw})})()
    )
    written.say(AWAY, seconds=25)
    written.say({"event": "batch.landed"})
    assert said == []
    written.now += QUIET_SECONDS
    written.say({"event": "batch.landed"}, seconds=1)
    assert said == [
        {"event": "outage.over", "of": AWAY["event"], "error": AWAY["error"], "seconds": 24.5, "left_out": 48}
    ]
    written.say(AWAY)
    assert written.lines[-1][1] == AWAY, "the next outage begins anew"


def test_another_error_and_another_event_are_logged_at_once(written: Written) -> None:
    written.say(AWAY, AWAY, {**AWAY, "error": "it timed out"}, {**AWAY, "event": "bucket.store_away"})
    assert [(line["event"], line["error"]) for _, line in written.lines] == [
        ("landing.store_away", "it takes no connection"),
        ("landing.store_away", "it timed out"),
        ("bucket.store_away", "it takes no connection"),
    ]


def test_lost_wake_ups_and_faults_of_the_database_are_thinned_too(written: Written) -> None:
    written.say(*({"event": name, "error": "connection refused"} for name in sorted(REPEATED)), seconds=100)
    assert [at for at, _ in written.lines] == [at for at in (0, 10, 30, 70) for _ in REPEATED]


def test_each_event_that_is_thinned_is_logged_somewhere() -> None:
    code = "".join(path.read_text() for app in APPS for path in (ROOT / app).rglob("*.py") if path != THINNER)
    assert [name for name in sorted(REPEATED) if f'"{name}"' not in code] == []


def test_lines_of_requests_and_of_other_errors_are_all_written(written: Written) -> None:
    written.say({**AWAY, "event": "request.store_away", "request_id": "r"}, {"event": "task.failed"}, seconds=5)
    assert len(written.lines) == 20


def test_errors_of_servers_that_libraries_log_are_thinned_and_those_of_our_code_are_not(written: Written) -> None:
    for error in (redis.ConnectionError("Connection refused"), ValueError("broken")):
        for _ in range(30):
            written.logger.error("Task %s raised", "ingest.sweep", exc_info=error)
            written.now += 0.5
    assert [message for _, message in written.lines[:2]] == [
        "Task %s raised",
        "Task ingest.sweep raised (left out: 19)",
    ]
    assert len(written.lines) == 2 + 30


def test_errors_that_differ_each_time_do_not_fill_the_memory(written: Written) -> None:
    written.say(*({**AWAY, "error": str(n)} for n in range(outage_lines.MOST_OUTAGES + 50)))
    assert len(written.lines) == outage_lines.MOST_OUTAGES + 50


SAYS = """
import django
django.setup()
from evermuse import logs
log = logs.get("x")
for n in range(50):
    log.warning("landing.store_away", error="it takes no connection", batch_ids=[n])
"""


def test_the_log_of_a_process_is_thinned() -> None:
    environment = {**os.environ, "EVERMUSE_LOG_JSON": "true", "DJANGO_SETTINGS_MODULE": "evermuse.settings"}
    done = subprocess.run(
        [sys.executable, "-c", SAYS], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    [line] = map(json.loads, done.stderr.splitlines())
    assert (line["event"], line["batch_ids"]) == ("landing.store_away", [0])
