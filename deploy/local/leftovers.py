"""One stack for each EVERMUSE_HOME: a lock shows that it runs, and leftovers of a killed stack are removed."""

import contextlib
import fcntl
import json
import os
import signal
import threading
import time
from collections.abc import Iterator

import psutil

from deploy.local.servers import StartFailed
from deploy.local.state import Home, read_json, write_private

# Every process of the stack has this variable, which identifies it.
MARK = "EVERMUSE_SUPERVISED_HOME"


@contextlib.contextmanager
def locked(home: Home) -> Iterator[None]:
    """Lock the home within the block. Raises StartFailed if another stack holds it."""
    descriptor = os.open(home.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise StartFailed(
            f"a stack is already running in EVERMUSE_HOME={home.root} (process {holder}); "
            "stop it, or set another EVERMUSE_HOME"
        ) from None
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def is_locked(home: Home) -> bool:
    """Whether a stack runs in this home."""
    try:
        descriptor = os.open(home.lock_file, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


class Registry:
    """The processes of the running stack by name, for `manage.py services` and for clearing up."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._processes: dict[str, dict[str, float | str | int]] = {}

    def note(self, name: str, pid: int) -> None:
        """Add a process that was started."""
        try:
            started = psutil.Process(pid).create_time()
        except psutil.Error:
            return
        with self._lock:
            self._processes[name] = {"name": name, "pid": pid, "started": started}
            write_private(self._home.processes_file, json.dumps(list(self._processes.values())))


def living(home: Home) -> list[dict[str, str | int]]:
    """Name and pid of the processes that still run."""
    noted = read_json(home.processes_file, [])
    return [{"name": one["name"], "pid": one["pid"]} for one in noted if _lives(one["pid"], one["started"])]


def _lives(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def clear(home: Home) -> list[str]:
    """End what a killed stack of this home left running, under the lock. Returns the names of the commands."""
    leaders = {one["pid"]: one["started"] for one in read_json(home.processes_file, [])}
    found = [process for process in psutil.process_iter() if _is_ours(process, home, leaders)]
    names = []
    for process in found:
        with contextlib.suppress(psutil.Error):
            names.append(process.name())
            process.send_signal(signal.SIGKILL)
    # On a loaded machine, it takes a while until the kernel has ended all of them.
    _, alive = psutil.wait_procs(found, timeout=60)
    if alive:
        raise StartFailed(f"processes of a killed stack do not end: {[process.pid for process in alive]}")
    home.processes_file.unlink(missing_ok=True)
    if found:
        time.sleep(0.2)  # Their ports become free once the kernel has closed them.
    return names


def _is_ours(process: psutil.Process, home: Home, leaders: dict[int, float]) -> bool:
    if process.pid == os.getpid():
        return False
    try:
        if process.environ().get(MARK) == str(home.root):
            return True
    except (psutil.Error, OSError):
        pass
    # PostgreSQL's children overwrite their environment, so they are found by their parent's session.
    try:
        started = leaders.get(os.getsid(process.pid))
        return started is not None and process.create_time() >= started - 1
    except (psutil.Error, OSError):
        return False
