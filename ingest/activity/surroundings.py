"""The servers around PostgreSQL: whether they answer, messages that wait in the broker, and workers.

Each question has a time limit, and the answer may be "unknown". So a page never hangs because a server does.
"""

from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

from kombu import Connection
from kombu.pidbox import Mailbox

from evermuse import broker_queues
from evermuse.celery import QUEUES, app
from ingest.activity import health

SOCKET_SECONDS, ANSWER_SECONDS = 1, 0.6
# The time limit of all questions together.
WAIT_SECONDS = 2.0
_threads = ThreadPoolExecutor(4, thread_name_prefix="surroundings")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """``servers``: ok or away. ``queues``: messages. ``workers``: how many read each queue. None: the broker did not answer."""

    servers: dict[str, str]
    queues: dict[str, int] | None
    workers: dict[str, int] | None


class Asked:
    """Questions that run in threads while the caller reads PostgreSQL."""

    def __init__(self) -> None:
        self._ends_at = monotonic() + WAIT_SECONDS
        self._queues, self._workers = _threads.submit(_queues), _threads.submit(_workers)

    def answers(self) -> Surroundings:
        """The answers that came within about two seconds of the questions."""
        servers = health.check()
        return Surroundings(servers, _in_time(self._queues, self._ends_at), _in_time(self._workers, self._ends_at))


def _in_time(asked: "Future[_T]", ends_at: float) -> _T | None:
    try:
        return asked.result(max(ends_at - monotonic(), 0.0))
    except Late:
        asked.cancel()
        return None
    except Exception:  # kombu's transports raise errors of many libraries
        return None


def _broker() -> Connection:
    options = {"socket_timeout": SOCKET_SECONDS, "socket_connect_timeout": SOCKET_SECONDS, "max_retries": 0}
    return Connection(
        app.conf.broker_write_url,
        ssl=app.conf.broker_use_ssl,
        connect_timeout=SOCKET_SECONDS,
        transport_options=options,
    )


def _queues() -> dict[str, int]:
    with _broker() as broker:
        return {name: broker_queues.length(broker, name) for name in QUEUES}


def _workers() -> dict[str, int]:
    box = Mailbox(app.conf.control_exchange, type="fanout", accept=["json"], reply_queue_expires=10)
    with _broker() as broker:
        bound: Any = box(broker)
        answers = bound.multi_call("active_queues", timeout=ANSWER_SECONDS) or []
    # Each answer is {"landing@host": [{"name": "landing", …}, …]}. One worker may read several queues.
    seen = Counter(queue["name"] for answer in answers for queues in answer.values() for queue in queues)
    return {name: seen[name] for name in QUEUES}
