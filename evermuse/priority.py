"""Which processes give way where cores are short: workers, and the store that they work on, to the web process, whose
clients wait for an answer.

A store that did not give way would be in the workers' way: each of its answers would come at once, and wait for a worker.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

# nice(2): a process of 0 that wants the same core gets nine parts of ten.
NICENESS = 10
_GROUP = Path("/proc/self/autogroup")
_TRIES = 10


def give_way() -> None:
    """Make this process, and those that it starts, less urgent.

    Linux may schedule sessions as groups, and niceness counts within one only: a group that is ours alone gets it too.
    Source: sched(7), "The autogroup feature".
    """
    os.nice(NICENESS)
    if os.getsid(0) == os.getpid():
        _make_group_give_way()


def giving_way(command: Sequence[str]) -> list[str]:
    """The command of a program that is not ours, which gives way from its start. `argv[0]` is its path."""
    return [sys.executable, "-I", __file__, *command]


def _make_group_give_way() -> None:
    for _ in range(_TRIES):
        try:
            _GROUP.write_text(str(NICENESS))
        except BlockingIOError:  # all users together may do this ten times a second
            time.sleep(0.2)
        except OSError:  # no such feature here
            return
        else:
            return


if __name__ == "__main__":
    give_way()
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):  # as subprocess does: what is ignored stays so past exec
        signal.signal(ignored_by_python, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - its arguments are a command of ours
