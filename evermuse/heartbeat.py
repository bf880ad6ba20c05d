"""A watchdog that needs no interpreter: a process whose Python stands still prints its stacks and exits.

A C call that does not return (a regular expression that backtracks) keeps the global interpreter lock, so no Python
thread, signal handler or time-out runs any more. ``faulthandler`` waits in a C thread that needs no lock. A Python
thread rearms it every second; when that thread gets no turn for ``EVERMUSE_HANG_SECONDS``, the process ends and its
supervisor starts another one. A process that was suspended for longer (SIGSTOP) ends too; its work is taken over.
"""

import faulthandler
import os
import threading
import time

from django.conf import settings

BEAT_SECONDS = 1.0
# The exit code of `faulthandler` after its time is over.
EXIT_CODE = 1
# The file descriptor itself: Celery replaces `sys.stderr` by an object without one.
STDERR = 2

_lock = threading.Lock()
_started_in: int | None = None


def start() -> None:
    """Watch this process from now on. Not in one that forks: ``faulthandler`` deadlocks in children of a watched process."""
    global _started_in
    with _lock:
        if _started_in == os.getpid():
            return
        _started_in = os.getpid()
    threading.Thread(target=_beat, name="heartbeat", daemon=True).start()


def _beat() -> None:
    while True:
        faulthandler.dump_traceback_later(settings.EVERMUSE_HANG_SECONDS, exit=True, file=STDERR)
        time.sleep(BEAT_SECONDS)


def end_process(exit_code: int = EXIT_CODE) -> None:
    """Print all stacks and end this process at once: one of its threads cannot be stopped by anything less."""
    faulthandler.dump_traceback(file=STDERR)
    os._exit(exit_code)
