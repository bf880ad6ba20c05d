"""Everything that Celery prints becomes events of our log, so that a process with JSON logs writes JSON only."""

import logging
import os
import sys
from typing import Any

import celery.apps.beat
import celery.apps.worker

from evermuse import logs

log = logs.get(__name__)


class Beat(celery.apps.beat.Beat):
    """Beat without a banner."""

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options | {"quiet": True})

    def start_scheduler(self) -> Any:
        """Run until the process ends."""
        log.info("beat.started")
        return super().start_scheduler()


class Worker(celery.apps.worker.Worker):
    """A worker without a banner. It logs what Celery's handlers of signals would print."""

    def on_before_init(self, quiet: bool = False, **options: Any) -> None:
        """Runs first."""
        celery.apps.worker.safe_say = _say  # type: ignore[attr-defined]
        super().on_before_init(quiet, **options)

    def emit_banner(self) -> None:
        """Log what the banner says and our settings do not."""
        worker: Any = self
        log.info("worker.started", queues=sorted(worker.app.amqp.queues.consume_from), concurrency=worker.concurrency)


def _say(message: str, _stream: object = None) -> None:
    """Write one line without the locks and buffers of streams: the signal may have interrupted a line that is being written."""
    record = logging.LogRecord("celery.apps.worker", logging.INFO, "", 0, str(message).strip(), None, None)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and logging.getLogger().isEnabledFor(record.levelno):
            os.write(sys.stderr.fileno(), (handler.format(record) + "\n").encode())
