"""Workers run at a lower priority than the web process."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from evermuse.priority import NICENESS, with_lower_priority

GIVE_WAY = """
import os, pathlib
from evermuse import priority
priority.lower()
group = pathlib.Path("/proc/self/autogroup")
print(os.nice(0), *(group.read_text().split()[-1:] if group.exists() else []))
"""


def given(*, own_session: bool) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", GIVE_WAY], start_new_session=own_session, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_session_leader_lowers_the_priority_of_its_whole_group() -> None:
    """The group has a priority only if the kernel makes a group for each session."""
    of_group = [str(NICENESS)] if Path("/proc/self/autogroup").exists() else []
    assert given(own_session=True) == [str(min(os.nice(0) + NICENESS, 19)), *of_group]


def test_process_in_the_session_of_others_leaves_their_priority_alone() -> None:
    """The session of init has no group, so its file is empty."""
    group = Path("/proc/self/autogroup")
    before = group.read_text() if group.exists() else ""
    assert given(own_session=False) == [str(min(os.nice(0) + NICENESS, 19)), *before.split()[-1:]]
    assert (group.read_text() if group.exists() else "") == before


def test_lowered_priority_changes_no_signal_handling() -> None:
    """Python ignores SIGPIPE, and ignored signals stay ignored after exec."""
    cat = [shutil.which("cat") or "/bin/cat", "/proc/self/status"]
    alone, giving = (subprocess.check_output(command, text=True) for command in (cat, with_lower_priority(cat)))
    ignored = [line for line in alone.splitlines() if line.startswith("SigIgn")]
    assert len(ignored) == 1
    assert [line for line in giving.splitlines() if line.startswith("SigIgn")] == ignored
