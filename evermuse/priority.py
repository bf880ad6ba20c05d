"""Lowers the priority of workers and of the embedded object store, so that the web process answers first.

The store's priority is lowered too. Otherwise it would take the cores from the workers that wait for it.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

# nice(2): a process of priority 0 that wants the same core gets nine parts of ten.
NICENESS = 10
_GROUP = Path("/proc/self/autogroup")
_TRIES = 10


def give_way() -> None:
    """Lower the priority of this process and of those that it starts.

    Linux may schedule sessions as groups, in which case the priority counts only within a group. So a group of our own
    gets the priority too. Source: sched(7), "The autogroup feature".
    """
    os.nice(NICENESS)
    if os.getsid(0) == os.getpid():
        _make_group_give_way()


def giving_way(command: Sequence[str]) -> list[str]:
    """A command that runs another program with a lowered priority. `argv[0]` is the program's path."""
    return [sys.executable, "-I", __file__, *command]


def _make_group_give_way() -> None:
    for _ in range(_TRIES):
        try:
            _GROUP.write_text(str(NICENESS))
        except BlockingIOError:  # Linux limits how often all users together may do this
            time.sleep(0.2)
        except OSError:  # this kernel has no such feature
            return
        else:
            return


if __name__ == "__main__":
    give_way()
    for ignored_by_python in (
        signal.SIGPIPE,
        signal.SIGXFSZ,
    ):  # as subprocess does: ignored signals stay ignored after exec
        signal.signal(ignored_by_python, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - its arguments are a command of ours
