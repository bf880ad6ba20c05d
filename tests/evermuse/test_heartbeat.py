"""The watchdog of a process works although its interpreter hangs."""

import os
import subprocess
import sys

WATCHED = """
import ctypes, os, time
import django
django.setup()
from evermuse import heartbeat
"""
STARTS = "heartbeat.start(); time.sleep(0.5); "
# A C function called through PyDLL keeps the interpreter's lock, so no Python thread runs meanwhile.
HANGS = "ctypes.PyDLL(None).sleep(600)"


def ends(what: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "evermuse.settings", "EVERMUSE_HANG_SECONDS": "3"}
    command = [sys.executable, "-c", WATCHED + what]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_process_whose_interpreter_hangs_prints_its_stacks_and_ends() -> None:
    ended = ends(STARTS + HANGS)
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
    assert "in _beat" in ended.stderr


def test_sigterm_does_not_keep_a_hung_process_alive() -> None:
    ended = ends(f"{STARTS} import signal; signal.signal(15, lambda *_: None); os.kill(os.getpid(), 15); {HANGS}")
    assert ended.returncode == 1


def test_forked_child_of_an_unwatched_process_is_watched() -> None:
    child = f"pid = os.fork()\nif not pid:\n    {STARTS}{HANGS}\n"
    ended = ends(child + "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))")
    assert (ended.returncode, ended.stdout.split()) == (0, ["1"])


def test_process_that_computes_for_longer_than_the_limit_keeps_running() -> None:
    ended = ends(
        STARTS + "\nends_at = time.monotonic() + 5\nwhile time.monotonic() < ends_at: sum(range(1000))\nprint('done')"
    )
    assert (ended.returncode, ended.stdout.split()) == (0, ["done"])
