"""The health check of workers and beat."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evermuse import alive
from tests.journeys.stack import until


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def checked(directory: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "evermuse.alive"],
        env={**os.environ, "TMPDIR": str(directory)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_check_fails_where_no_process_has_lived(directory: Path) -> None:
    code, message = checked(directory)
    assert (code, "last sign of life: none" in message) == (1, True)


def test_check_succeeds_beside_a_living_process_and_fails_after_its_last_touch_is_old(directory: Path) -> None:
    alive.path().touch()
    assert checked(directory)[0] == 0
    long_ago = time.time() - 2 * alive.STALE_SECONDS
    os.utime(alive.path(), (long_ago, long_ago))
    code, message = checked(directory)
    assert (code, bool(re.search(r"1\d\d s ago", message))) == (1, True)


def test_living_process_touches_the_file_again_and_again(directory: Path) -> None:
    script = "import time; from evermuse import alive; alive.TOUCH_SECONDS = 0.01; alive.start(); time.sleep(300)"
    living = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(directory)})
    try:
        for _ in range(2):
            alive.path().unlink(missing_ok=True)
            until(lambda: alive.path().exists(), "the file is touched")
    finally:
        living.kill()
        living.wait()
