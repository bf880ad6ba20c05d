"""A supervised process is restarted without limit after growing waits, and is ended together with its children."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.local.child import Child
from deploy.local.supervisor import file_log
from evermuse import retry_policy
from evermuse.retry_policy import RetryPolicy
from tests.journeys.stack import lives, until


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def pids() -> list[int]:
    return []


def program(text: str, lines: list[str], pids: list[int], **options: Any) -> Child:
    return Child(
        "test",
        [sys.executable, "-u", "-c", text],
        {},
        log=lines.append,
        on_start=lambda _, pid: pids.append(pid),
        **options,
    )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(retry_policy, "RESTARTS", RetryPolicy(first=0.01, longest=0.04))
    yield


def test_supervised_process_is_restarted_without_limit_after_growing_waits(
    quick: None, lines: list[str], pids: list[int]
) -> None:
    kept = program("raise SystemExit(3)", lines, pids)
    kept.start()
    until(lambda: len(pids) >= 8, "the process has been restarted several times")
    kept.stop()
    assert kept.wait(60)
    waits = [line.rpartition(" in ")[2] for line in lines]
    assert waits[:3] == ["0.0 s", "0.0 s", "0.0 s"]
    assert all(line.startswith("ended (exit code 3); starting it again") for line in lines)


def test_wait_before_a_restart_doubles_up_to_the_maximum(
    monkeypatch: pytest.MonkeyPatch, lines: list[str], pids: list[int]
) -> None:
    monkeypatch.setattr(retry_policy, "RESTARTS", RetryPolicy(first=0.1, longest=0.3))
    kept = program("pass", lines, pids)
    kept.start()
    until(lambda: len(lines) >= 4, "four ends are logged")
    kept.stop()
    assert kept.wait(60)
    assert [line.rpartition(" in ")[2] for line in lines[:4]] == ["0.1 s", "0.2 s", "0.3 s", "0.3 s"]


def test_stopped_process_is_not_restarted(lines: list[str], pids: list[int]) -> None:
    kept = program("import time; print('up'); time.sleep(600)", lines, pids)
    kept.start()
    until(lambda: "up" in lines, "the process runs")
    kept.stop()
    assert kept.wait(60)
    assert (len(pids), kept.pid) == (1, None)


def test_process_that_ignores_sigterm_is_killed_with_its_children(lines: list[str], pids: list[int]) -> None:
    text = (
        "import signal, subprocess, sys, time; signal.signal(15, signal.SIG_IGN);"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid); time.sleep(600)"
    )
    kept = program(text, lines, pids)
    kept.start()
    until(lambda: lines, "the process runs")
    kept.stop()
    assert not kept.wait(0.3)
    kept.kill()
    assert kept.wait(60)
    until(lambda: not lives(int(lines[0])), "its child has ended")


def test_children_of_a_killed_process_are_ended_before_its_restart(lines: list[str], pids: list[int]) -> None:
    text = (
        "import subprocess, sys, time;"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid); time.sleep(600)"
    )
    kept = program(text, lines, pids)
    kept.start()
    until(lambda: lines, "the process runs")
    psutil.Process(pids[0]).kill()
    until(lambda: len(pids) == 2, "the process is restarted")
    until(lambda: not lives(int(lines[0])), "the orphan has ended")
    kept.kill()
    assert kept.wait(60)


def test_output_of_a_process_goes_to_its_file_and_its_end_to_the_common_log(
    quick: None, lines: list[str], pids: list[int], tmp_path: Path
) -> None:
    path = tmp_path / "test.log"
    kept = program("print('a line of its own')", lines, pids, output=file_log(path))
    kept.start()
    until(lambda: len(lines) >= 2, "two ends are logged")
    kept.stop()
    assert kept.wait(60)
    assert set(path.read_text().splitlines()) == {"a line of its own"}
    assert all(line.startswith("ended (exit code 0)") for line in lines)
