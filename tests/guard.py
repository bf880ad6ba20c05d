"""Ends what a killed test run leaves behind: its servers, its stacks and its directory.

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

# An environment variable that every process of the run inherits. Its value is the run's directory.
MARK = "TEST_RUN_DIRECTORY"
PASSES = 20


class Guard:
    """The second process of a run. It removes the run's directory ``root`` at the end."""

    def __init__(self, root: Path) -> None:
        # In its own session, because a signal to the run's process group must not reach it. Without the mark of an outer
        # run, because that run's guard would kill this process before it has cleaned up.
        environment = {name: value for name, value in os.environ.items() if name != MARK}
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(root)],
            env=environment,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        os.environ[MARK] = str(root)

    def close(self) -> None:
        """Ends the run: kills its remaining processes and waits for that."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def end_all(root: str) -> None:
    """Kills every process of the run, in several passes: a supervisor may restart a process before it is killed itself."""
    for _ in range(PASSES):
        found = [process for process in psutil.process_iter() if process.pid != os.getpid()]
        marked = {process.pid for process in found if _is_marked(process, root)}
        # Programs that set their title overwrite their environment, but have a marked parent or session leader.
        doomed = [process for process in found if marked & {process.pid, *_kin(process)}]
        if not doomed:
            return
        for process in doomed:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(doomed, timeout=1)


def _is_marked(process: psutil.Process, root: str) -> bool:
    try:
        # A server that was a child of the run and overwrites its environment still works in a directory of the run.
        return process.environ().get(MARK) == root or Path(process.cwd()).is_relative_to(root)
    except (psutil.Error, OSError):
        return False


def _kin(process: psutil.Process) -> set[int]:
    """Returns the process's parent and the leader of its session."""
    try:
        return {process.ppid(), os.getsid(process.pid)}
    except (psutil.Error, OSError):
        return set()


def main(root: str) -> None:
    """Waits until the run has ended, then cleans up."""
    sys.stdin.buffer.read()
    end_all(root)
    for _ in range(PASSES):
        shutil.rmtree(root, ignore_errors=True)
        if not Path(root).exists():
            return
        time.sleep(0.1)


if __name__ == "__main__":
    main(sys.argv[1])
