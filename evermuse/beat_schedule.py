"""Beat's file of last runs (``--schedule``). A place where it cannot be written is a fault of the command line, in one line."""

import errno
import os
from collections.abc import Callable
from typing import Any

from celery.beat import PersistentScheduler

from evermuse import logs, serving
from evermuse.env import ConfigurationError

log = logs.get(__name__)

# Internal methods of Celery's scheduler are overridden. A test fails with any other version.
WRITTEN_FOR = {"celery": "5.7.0"}
# Faults of the place. With any other error the file itself is damaged, and may be replaced.
_OF_THE_PLACE = {
    errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EROFS, errno.ENOSPC, errno.EDQUOT,
    errno.ENAMETOOLONG,
}  # fmt: skip


class Scheduler(PersistentScheduler):
    """Celery's scheduler, which ends beat with one line instead of three tracebacks."""

    schedule_filename: str
    _remove_db: Callable[[], None]

    def setup_schedule(self) -> None:
        try:
            super().setup_schedule()
        except OSError as error:
            self._exit(error)

    def _open_schedule(self) -> Any:
        try:
            return super()._open_schedule()  # type: ignore[misc]
        except OSError as error:
            if error.errno in _OF_THE_PLACE:
                self._exit(error)
            raise

    def _destroy_open_corrupted_schedule(self, exc: Exception) -> Any:
        log.warning("beat.schedule_replaced", file=self.schedule_filename, error=f"{type(exc).__name__}: {exc}")
        self._remove_db()
        return self._open_schedule()

    def _exit(self, error: OSError) -> None:
        reason = os.strerror(error.errno) if error.errno else str(error)
        user = f"user {os.getuid()}" if hasattr(os, "getuid") else "its user"
        serving.exit_with(ConfigurationError(
            f"beat --schedule {self.schedule_filename}: the file cannot be written: {reason}: "
            f"name a file in a directory that exists and that {user} may write"
        ))  # fmt: skip
