"""Lowers the priority of workers and of the embedded object store, so that the web process answers first.

The store's priority is lowered too. Otherwise it would take the cores from the workers that wait for it.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

# nice(2). A process of priority 0 that competes for the same core gets about nine tenths of it.
NICENESS = 10
_GROUP = Path("/proc/self/autogroup")
_TRIES = 10


def lower() -> None:
    """Lower the priority of this process and of those that it starts.

    Linux may schedule sessions as groups, in which case the priority counts only within a group. So a group of our own
    gets the priority too. Source: sched(7), "The autogroup feature".
    """
    os.nice(NICENESS)
    if os.getsid(0) == os.getpid():
        _lower_group()


def with_lower_priority(command: Sequence[str]) -> list[str]:
    """A command that runs another program with a lowered priority. `argv[0]` is the program's path."""
    return [sys.executable, "-I", __file__, *command]


def _lower_group() -> None:
    for _ in range(_TRIES):
        try:
            _GROUP.write_text(str(NICENESS))
        except BlockingIOError:  # Linux limits how often all users together may do this
            time.sleep(0.2)
        except OSError:  # this kernel has no autogroups
            return
        else:
            return


if __name__ == "__main__":
    lower()
    # Python ignores these signals, and an ignored signal stays ignored after exec. subprocess restores them too.
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored_by_python, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - its arguments are a command of ours
