"""A killed test run leaves no process and no directory behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from deploy.local.embedded import Servers
from tests.guard import MARK
from tests.journeys.stack import lives, until

ROOT = Path(__file__).resolve().parent.parent.parent
# Starts the servers as a test run does.
RUN = """
import time
from tests import servers
for name in ("seaweedfs", "postgres", "valkey"):
    servers._servers.start(name)
for name in ("seaweedfs", "postgres", "valkey"):
    servers._servers.wait_ready(name)
print(servers.ROOT, *(servers._servers.pid(name) for name in ("seaweedfs", "postgres", "valkey")), flush=True)
time.sleep(600)
"""


@contextmanager
def run() -> Iterator[tuple["subprocess.Popen[str]", Path, list[int]]]:
    """Yields a run in its own process group, its directory, and the processes of its servers."""
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    with subprocess.Popen(
        [sys.executable, "-c", RUN],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout
            directory, *leaders = process.stdout.readline().split()
            pids = [child.pid for pid in leaders for child in psutil.Process(int(pid)).children(recursive=True)]
            yield process, Path(directory), [*map(int, leaders), *pids]
        finally:
            process.kill()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_killed_test_run_leaves_no_server_and_no_directory(servers: Servers, how: signal.Signals) -> None:
    with run() as (process, directory, pids):
        assert len(pids) > 6
        os.killpg(process.pid, how)
        process.wait()
        until(lambda: not any(lives(pid) for pid in pids), "the servers have ended")
        until(lambda: not directory.exists(), "the directory is removed")
    # The servers of this run, which is another one, still run.
    assert all(servers.pid(name) for name in ("seaweedfs", "postgres", "valkey"))
