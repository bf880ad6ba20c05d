"""Starts the processes that fetch suspects, and blames a file when its process ends badly."""

import contextlib
import signal
import subprocess
import sys
import threading
from itertools import count

from django.conf import settings
from django.db import DatabaseError, connection

from attachments import alone
from attachments.queue import claims, crashes
from evermuse import heartbeat, logs, wake

log = logs.get(__name__)

# In one worker at the same time. Each process takes some 100 MB.
MAX_PROCESSES = 3


class Suspects:
    """Runs a few processes for as long as suspects are due."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._keepers = 0
        self._serial = count(1)
        self._is_stopping = False

    def wake(self) -> None:
        """Start one more process unless there are enough. Returns at once."""
        with self._lock:
            if self._keepers < MAX_PROCESSES and not self._is_stopping:
                self._keepers += 1
                threading.Thread(target=self._keep, name="suspects", daemon=True).start()

    def stop(self) -> None:
        """Ask the processes to give their files back."""
        with self._lock:
            self._is_stopping = True
            for process in self._processes:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()

    def _keep(self) -> None:
        try:
            # A process takes seconds to start. Processes that have not claimed anything yet will serve the files that
            # are due.
            if crashes.count_suspects_due(MAX_PROCESSES) >= self._keepers:
                while not self._is_stopping and self._run_one():
                    pass
        except DatabaseError as error:
            # The lease of the file runs out, and the sweeper takes it back.
            log.warning("attachment.database_fault", error=str(error).strip()[:200])
        finally:
            connection.close()
            with self._lock:
                self._keepers -= 1

    def _run_one(self) -> bool:
        """Run one process. Return whether to start another: True if this one died because of its file."""
        name = f"alone:{claims.worker()}{next(self._serial)}"
        with self._lock:
            if self._is_stopping:
                return False
            # The process watches its standard input to notice that this worker has gone.
            process = subprocess.Popen([sys.executable, "-m", "attachments.alone", name], stdin=subprocess.PIPE)
            self._processes.add(process)
        code = process.wait()
        with self._lock:
            self._processes.discard(process)
        if process.stdin:
            process.stdin.close()
        if code == 0 or self._is_stopping:
            return False
        connection.close_if_unusable_or_obsolete()
        blamed = crashes.blame_claimed_by(name, in_words(code))
        if settled := [crash.batch_id for crash in blamed if crash.is_settled]:
            wake.advance(settled)
        return bool(blamed)


def in_words(code: int) -> str:
    """How a process ended, for the ledger."""
    if code == heartbeat.EXIT_CODE:
        return f"the download hung: its process was blocked for {settings.EVERMUSE_HANG_SECONDS} seconds"
    if code == alone.OUT_OF_MEMORY:
        return f"the download needed more than {settings.EVERMUSE_ATTACHMENT_ALONE_BYTES} bytes of memory"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"the download's process was ended by {signal.Signals(-code).name}"
    return f"the download's process ended with exit code {code}"


suspects = Suspects()
