"""Fewer log lines while a server is away: a task that fails in the same way is logged at growing intervals, with a count.

Tasks are repeated every few seconds and for each batch, so an outage would fill the log with one sentence. Batches and files whose
lines are left out keep the failure and its time in their own timelines. Lines of requests are never left out: a client may name
any request id.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from structlog import contextvars

from evermuse import outages

# Not by `evermuse.logs`, which uses this module.
log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

# Seconds until the second line of an outage. Each interval is twice the one before, up to the longest.
FIRST_INTERVAL, LONGEST_INTERVAL = 10.0, 300.0
# An outage is over if nothing has failed in this way for so long. The tasks that reach all servers run every 5 seconds.
QUIET_SECONDS = 30.0
# Errors whose texts differ each time must not fill the memory.
MOST_OUTAGES = 100
# Events of outages besides those that end in `_away`, and of what waits for an operator. Each is logged for every batch, file,
# message or task that meets it.
REPEATED = frozenset({
    "attachment.copy_left", "attachment.database_fault", "attachment.kept_not_renewed", "attachment.lease_not_renewed",
    "attachment.leftovers_wait", "attachment.removal_waits", "landing.database_fault", "landing.lease_not_renewed",
    "restore.check_needed", "upload.left", "upload.walk_waits", "wakeup.lost", "wakeup.not_counted",
})  # fmt: skip

Key = tuple[str, str]


@dataclass(slots=True)
class Outage:
    """How often a server was away in one way, according to this process."""

    began: float
    last: float
    next_line: float
    interval: float = FIRST_INTERVAL
    left_out: int = 0
    left_out_in_all: int = 0


class Thinner(logging.Filter):
    """A handler's filter that leaves out repeated lines. The next line has their number as ``left_out``, and the first line
    after the outage says that it is over.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._outages: dict[Key, Outage] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        now = self._clock()
        self._end_past(now)
        key = _key(record)
        if key is None or (key not in self._outages and len(self._outages) >= MOST_OUTAGES):
            return True
        outage = self._outages.setdefault(key, Outage(now, now, now))
        outage.last = now
        if now < outage.next_line:
            outage.left_out += 1
            outage.left_out_in_all += 1
            return False
        outage.next_line = now + outage.interval
        outage.interval = min(2 * outage.interval, LONGEST_INTERVAL)
        if outage.left_out:
            _add_count(record, outage.left_out)
            outage.left_out = 0
        return True

    def _end_past(self, now: float) -> None:
        for key, outage in list(self._outages.items()):
            if now - outage.last < QUIET_SECONDS:
                continue
            # Another thread may have removed it.
            if self._outages.pop(key, None) is outage and outage.left_out_in_all:
                log.warning(
                    "outage.over",
                    of=key[0],
                    error=key[1],
                    seconds=round(outage.last - outage.began, 1),
                    left_out=outage.left_out_in_all,
                )


def _key(record: logging.LogRecord) -> Key | None:
    """What the lines of one outage have in common: the event and the server's error. None for other lines."""
    event: dict[str, Any] = record.msg if isinstance(record.msg, dict) else {"exc_info": record.exc_info}
    bound = contextvars.get_contextvars()
    if "request_id" in event or "request_id" in bound:
        return None
    name = str(event.get("event", record.name))
    if name.endswith("_away") or name in REPEATED:
        return name, str(event.get("error", ""))[:200]
    error = outages.error_of(event.get("exc_info"))
    if not outages.is_away(error):
        return None
    # Each task that fails says so once.
    return str(bound.get("task", name)), str(error).strip()[:200]


def _add_count(record: logging.LogRecord, left_out: int) -> None:
    if isinstance(record.msg, dict):
        record.msg = {**record.msg, "left_out": left_out}
    else:
        record.msg, record.args = f"{record.getMessage()} (left out: {left_out})", None
