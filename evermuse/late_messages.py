"""Which expired messages a worker that is behind still runs.

Celery discards every expired message. If a worker is always further behind than the messages of the sweepers live, it would
discard all of them and never sweep. So the first expired message of each task runs, and then one every few seconds.
"""

import time
from typing import Any, Literal

import celery
from celery.worker.request import Request as _Request

# Celery's request class is replaced. A test fails with any other version.
WRITTEN_FOR = {"celery": "5.7.0"}
# An expired message of a task runs if none of this task has been taken for this long.
AT_LEAST_EVERY_SECONDS = 20.0

_taken_at: dict[str, float] = {}


class Request(_Request):
    """A message that a worker has received."""

    _is_taken = False

    def maybe_expire(self) -> Literal[True] | None:
        """Whether the message is discarded. Celery asks at receipt, and again before it runs the task."""
        now = time.monotonic()
        is_due = now - _taken_at.get(self.name, -AT_LEAST_EVERY_SECONDS) >= AT_LEAST_EVERY_SECONDS
        if not (self._is_taken or is_due) and super().maybe_expire():
            return True
        self._is_taken = True
        _taken_at[self.name] = now
        return None


class Task(celery.Task):  # type: ignore[type-arg]
    """The base class of all tasks."""

    Request: Any = "evermuse.late_messages:Request"
