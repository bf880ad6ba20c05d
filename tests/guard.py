"""Ends what a killed test run leaves behind: its servers and stacks, and its directory.

A run that dies by SIGTERM or SIGKILL cannot stop its servers. So a second process waits at a pipe that only the run
holds open. When the pipe closes, for whatever reason, it kills every process that the run started.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil

# Every process that the run starts inherits it. It holds the run's directory.
MARK = "TEST_RUN_DIRECTORY"
PASSES = 20


class Guard:
    """The second process of a run. ``root``: the run's directory, which is removed at the end."""

    def __init__(self, root: Path) -> None:
        # A session of its own: a signal to the run's process group must not reach it.
        # Without the mark of an outer run: that run's guard would kill this one before it has cleared up.
        environment = {name: value for name, value in os.environ.items() if name != MARK}
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(root)],
            env=environment,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        os.environ[MARK] = str(root)

    def close(self) -> None:
        """End the run: kill what is left of it, and wait until that is done."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def end_all(root: str) -> None:
    """Kill every process of the run. Several passes: a supervisor may start a process again before it is killed itself."""
    for _ in range(PASSES):
        found = [process for process in psutil.process_iter() if process.pid != os.getpid()]
        marked = {process.pid for process in found if _is_marked(process, root)}
        # Programs that set their title overwrite their environment, but are children of a marked one or in its session.
        doomed = [process for process in found if marked & {process.pid, *_kin(process)}]
        if not doomed:
            return
        for process in doomed:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(doomed, timeout=1)


def _is_marked(process: psutil.Process, root: str) -> bool:
    try:
        # The run itself was their parent: servers that overwrite their environment work in a directory of the run.
        return process.environ().get(MARK) == root or Path(process.cwd()).is_relative_to(root)
    except (psutil.Error, OSError):
        return False


def _kin(process: psutil.Process) -> set[int]:
    """The process's parent, and the leader of its session."""
    try:
        return {process.ppid(), os.getsid(process.pid)}
    except (psutil.Error, OSError):
        return set()


def main(root: str) -> None:
    """Wait until the run has ended, then clear up."""
    sys.stdin.buffer.read()
    end_all(root)
    for _ in range(PASSES):
        shutil.rmtree(root, ignore_errors=True)
        if not Path(root).exists():
            return
        time.sleep(0.1)


if __name__ == "__main__":
    main(sys.argv[1])
