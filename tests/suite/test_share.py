"""A process of the tests lowers the priority of its own session, and of no other."""

import subprocess
import sys
from pathlib import Path

from tests.share import OURS

ROOT = Path(__file__).resolve().parent.parent.parent
GROUP = Path("/proc/self/autogroup")
YIELD = """
import pathlib
from tests.share import yield_to_the_product
yield_to_the_product()
group = pathlib.Path("/proc/self/autogroup")
print(group.read_text() if group.exists() else "")
"""


def group_of_child(*, own_session: bool) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", YIELD],
        cwd=ROOT,
        start_new_session=own_session,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_process_gets_a_session_with_a_lower_priority_of_its_own() -> None:
    before = GROUP.read_text() if GROUP.exists() else ""
    assert group_of_child(own_session=False)[1:] == (["nice", str(OURS)] if GROUP.exists() else [])
    assert (GROUP.read_text() if GROUP.exists() else "") == before


def test_leader_of_a_session_keeps_its_priority() -> None:
    assert group_of_child(own_session=True)[1:] == (["nice", "0"] if GROUP.exists() else [])
