"""A starting worker removes the messages that piled up while no worker read them.

Every message is a hint, and most of the old ones have expired. If a worker read thousands of them one by one, the
sweepers' messages behind them would expire too. So the worker empties its queues and sends each periodic task once. The
sweepers find all work in PostgreSQL.
"""

from collections.abc import Iterable
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from evermuse import logs

log = logs.get(__name__)


def replace(app: Celery, queues: Iterable[str]) -> None:
    """Empty these queues, then send each of their periodic tasks once. Without a broker, do nothing."""
    names = set(queues)
    due: list[dict[str, Any]] = [
        entry for entry in app.conf.beat_schedule.values() if entry["options"]["queue"] in names
    ]
    if not due:
        return
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1)
            removed = 0
            for name in names:
                queue = app.amqp.queues[name](connection.default_channel)
                queue.declare()
                removed += queue.purge() or 0
        for entry in due:
            app.send_task(entry["task"], ignore_result=True, **{**entry["options"], "retry": False})
    except (OperationalError, OSError) as error:
        log.warning("worker.queues_not_emptied", error=type(error).__name__)
    else:
        log.info("worker.queues_emptied", messages=removed)
