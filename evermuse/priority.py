"""Which processes give way where cores are short: workers to the web process, whose clients wait for an answer."""

import contextlib
import os
from pathlib import Path

# nice(2): a process of 0 that wants the same core gets nine parts of ten.
NICENESS = 10
_GROUP = Path("/proc/self/autogroup")


def give_way() -> None:
    """Make this process, and those that it starts, less urgent.

    Linux may schedule sessions as groups, and niceness counts within one only: a group that is ours alone gets it too.
    Source: sched(7), "The autogroup feature".
    """
    os.nice(NICENESS)
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # no such feature here
            _GROUP.write_text(str(NICENESS))
