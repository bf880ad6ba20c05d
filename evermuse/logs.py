"""Structured logs: one event for each transition, with its ids, and never payloads or keys."""

import logging
import sys

import structlog

from evermuse import outage_lines, outages, redaction

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# These loggers write URLs with signatures at every level. We log their errors in our own words.
SILENT = ("urllib3", "requests")
NOISY = (
    "celery.beat", "celery.worker.strategy", "celery.worker.request", "celery.app.trace", "tornado.access", "axes.apps",
)  # fmt: skip


def configure(*, level: str, as_json: bool) -> None:
    """Write structlog's and the standard library's events to standard error in one format. Standard output belongs to
    commands.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # Without the values of local variables, which may be payloads or keys.
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(outage_lines.Thinner())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                outages.shorten,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redaction.redact,
                outages.join_lines,
                renderer,
            ],
        )
    )
    _configure_standard_library(handler, level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _configure_standard_library(handler: logging.Handler, level: str) -> None:
    """Write all events to ``handler``, and only the important ones of libraries that log much."""
    # Our lines contain no code position, thread or process, so do not look them up (logging, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # Python's warnings, such as Celery's about a worker that runs as root.
    logging.captureWarnings(True)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Celery's pool stops what it logs about killed processes from reaching the root, and would write bare text.
    pool = logging.getLogger("multiprocessing")
    pool.handlers, pool.propagate = [handler], False
    for silent in SILENT:
        logging.getLogger(silent).setLevel(logging.CRITICAL + 1)
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # Refused requests are normal. Flower asks workers that have not started yet.
    for chatty in ("django.request", "flower.inspector"):
        logging.getLogger(chatty).setLevel(logging.ERROR)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """A logger for calls like ``log.info("event.name", batch_id=…)``."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
