"""A watchdog that works without the interpreter: a process whose Python hangs prints its stacks and exits.

A C call that does not return, such as a regular expression that backtracks, keeps the interpreter lock. Then no Python
thread, signal handler or time-out runs. ``faulthandler`` waits in a C thread that needs no lock, and a Python thread
rearms it every second. If that thread does not run for ``EVERMUSE_HANG_SECONDS``, the process exits and its supervisor
starts another one. A process that was suspended for longer (SIGSTOP) exits too, and another one takes over its work.
"""

import faulthandler
import os
import threading
import time

from django.conf import settings

BEAT_SECONDS = 1.0
# `faulthandler` exits with this code after its time-out.
EXIT_CODE = 1
# The file descriptor of standard error. Celery replaces `sys.stderr` by an object that has none.
STDERR = 2

_lock = threading.Lock()
_started_in: int | None = None


def start() -> None:
    """Watch this process. Do not call it in a process that forks: ``faulthandler`` deadlocks in its children."""
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
    """Print all stacks and exit at once. Nothing less stops a hanging thread."""
    faulthandler.dump_traceback(file=STDERR)
    os._exit(exit_code)
