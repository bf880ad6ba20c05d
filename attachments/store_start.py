"""The check of the object store when a worker starts. It delays nothing: a store that is away may come back."""

import threading
import time

from attachments.fetch import store_check
from attachments.fetch.store_check import Report
from evermuse import logs, retry_policy

log = logs.get(__name__)


def check_later() -> None:
    """Check in a thread, again and again until the store answers."""
    threading.Thread(target=_check, name="store-check", daemon=True).start()


def _check() -> None:
    attempts = 0
    try:
        while (report := store_check.run()).status == store_check.AWAY:
            attempts += 1
            if attempts == 1:
                write(report)
            time.sleep(retry_policy.STORE_CHECK.backoff(attempts))
        write(report)
    except Exception:
        # The worker works without it.
        log.exception("store.check_crashed")


def write(report: Report) -> None:
    """Log a report: one line for each fault."""
    if report.status == store_check.AWAY:
        log.warning("store.away", error=report.error)
    for fault in report.faults:
        log.error("store.fault", ability=fault.ability, setting=fault.setting, problem=fault.problem, fix=fault.fix)
    if report.status == store_check.OK:
        log.info("store.checked", abilities=len(report.proven))
