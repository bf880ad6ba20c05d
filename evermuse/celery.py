"""The Celery application: queues, routes and settings. Messages are only hints.

PostgreSQL is the queue of record. A task carries at most ids, is delivered at least once, and finds nothing to do if
another task did the work. If a message is lost, the sweepers that beat starts find the work.
"""

import os
import sys
import warnings
from typing import Any

from celery.exceptions import CPendingDeprecationWarning
from celery.signals import (
    beat_init,
    celeryd_after_setup,
    import_modules,
    setup_logging,
    task_postrun,
    task_prerun,
    task_revoked,
    worker_init,
    worker_process_init,
)
from django.core.checks import run_checks
from kombu import Exchange, Queue
from structlog import contextvars

from evermuse import (
    alive,
    env,
    garbage_collection,
    heartbeat,
    logs,
    lost_broker,
    pool_end,
    priority,
    server_urls,
    serving,
    stale_messages,
    task_connections,
)
from evermuse.celery_application import Application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "evermuse.settings")
# Celery would run all system checks at each start of a worker or beat, and drop what they find. They load every view and page.
# `_check_start` runs those of our settings.
os.environ.setdefault("CELERY_SKIP_CHECKS", "true")

log = logs.get(__name__)

QUEUES = LANDING, ATTACHMENTS, MAINTENANCE = ("landing", "attachments", "maintenance")

SWEEP_SECONDS = env.integer(
    "EVERMUSE_SWEEP_SECONDS", 5, minimum=1, help="Seconds between two searches for work that is stuck."
)
ROLL_UP_SECONDS = 10
JOURNAL_SECONDS = 5
COMPACT_SECONDS = 60
# The frequent tasks of a queue expire after the same time. It bounds how far a busy worker falls behind, and a task that
# expired sooner than those before it in the queue would never run on such a worker.
FREQUENT_EXPIRES = max(20, 2 * SWEEP_SECONDS, 2 * JOURNAL_SECONDS, 2 * ROLL_UP_SECONDS)
RETENTION_SECONDS = env.integer(
    "EVERMUSE_RETENTION_SECONDS", 60, minimum=1, help="Seconds between two runs of retention."
)

# How long a publisher waits for RabbitMQ, which confirms nothing while it is out of memory.
CONFIRM_SECONDS = 5.0
# Beat publishes again if the broker has closed its connection. Without this it never opens another one to RabbitMQ.
BEAT_RETRIES = {
    "retry": True,
    "retry_policy": {"max_retries": 2, "interval_start": 0.2, "interval_step": 0.5},
    "confirm_timeout": CONFIRM_SECONDS,
}

DEFAULT_BROKER_URL = "redis://127.0.0.1:6379/0"

BROKER_URL, BROKER_TLS = env.read(
    "CELERY_BROKER_URL",
    DEFAULT_BROKER_URL,
    server_urls.broker,
    kind="redis:// or amqp:// URL",
    help="The broker for wake-ups: Redis, Valkey or RabbitMQ. With `rediss://` and `amqps://` certificates are checked; both take `ssl_ca_certs`, `ssl_certfile` and `ssl_keyfile`.",
    shown="embedded",
)

QUORUM_QUEUES: bool = env.flag(
    "EVERMUSE_QUORUM_QUEUES",
    default=False,
    help="RabbitMQ: whether the queues are quorum queues, for a cluster. Queues of the other kind must be deleted first.",
)
PUBLISHER_CONFIRMS: bool = env.flag(
    "EVERMUSE_PUBLISHER_CONFIRMS",
    default=False,
    help="RabbitMQ: whether publishers wait until the broker confirms a message.",
)
# Celery finds these arguments, and then sets the prefetch count for each consumer, as quorum queues require.
_QUEUE_ARGUMENTS = {"x-queue-type": "quorum"} if QUORUM_QUEUES else None


@import_modules.connect
def _require_settings(**_: Any) -> None:
    """Exit if the settings of this worker, beat or Flower are faulty. Connected before the application is made, so that it runs
    before the receiver that sets Django up. Celery only logs other exceptions of a receiver.
    """
    role = next((word for word in sys.argv[1:] if word in {*serving.SERVING, serving.FLOWER}), "")
    serving.require_settings_or_exit(role)


app = Application("evermuse", events="evermuse.task_events:Events", task_cls="evermuse.late_messages:Task")


class Config:
    """Celery's settings, in one object, because a second ``config_from_object`` would replace all of them."""

    # Celery takes `broker_url` from the environment as it is, with parameters that amqp's library does not know.
    broker_read_url = broker_write_url = BROKER_URL
    broker_use_ssl = BROKER_TLS
    # Each queue has its own exchange. On a shared default exchange every queue would get every message.
    task_queues = tuple(
        Queue(name, Exchange(name), routing_key=name, queue_arguments=_QUEUE_ARGUMENTS) for name in QUEUES
    )
    # With quorum queues Celery makes 28 queues for delayed tasks, of which we have none.
    broker_native_delayed_delivery_queue_type = "classic"
    task_default_queue = MAINTENANCE
    task_create_missing_queues = False
    task_routes = {
        "ingest.land_batches": {"queue": LANDING},
        "ingest.advance_batches": {"queue": LANDING},
        "ingest.sweep": {"queue": MAINTENANCE},
        "ingest.remove_expired": {"queue": MAINTENANCE},
        "ingest.sweep_segments": {"queue": MAINTENANCE},
        "ingest.compact_segments": {"queue": MAINTENANCE},
        "ingest.write_journal": {"queue": MAINTENANCE},
        "attachments.download": {"queue": ATTACHMENTS},
        "attachments.download_alone": {"queue": ATTACHMENTS},
        "attachments.sweep": {"queue": MAINTENANCE},
        "problems.sweep": {"queue": MAINTENANCE},
        "problems.run_jobs": {"queue": MAINTENANCE},
        "problems.send_alerts": {"queue": MAINTENANCE},
        "activity.roll_up": {"queue": MAINTENANCE},
    }
    task_acks_late = True
    task_reject_on_worker_lost = True
    task_ignore_result = True
    task_store_errors_even_if_ignored = False
    worker_send_task_events = True
    worker_prefetch_multiplier = 1
    beat_schedule = {
        "sweep batches": {
            "task": "ingest.sweep",
            "schedule": SWEEP_SECONDS,
            "options": {"expires": FREQUENT_EXPIRES, "queue": MAINTENANCE, **BEAT_RETRIES},
        },
        "sweep segments": {
            "task": "ingest.sweep_segments",
            "schedule": SWEEP_SECONDS,
            "options": {"expires": FREQUENT_EXPIRES, "queue": MAINTENANCE, **BEAT_RETRIES},
        },
        "compact segments": {
            "task": "ingest.compact_segments",
            "schedule": COMPACT_SECONDS,
            "options": {"expires": COMPACT_SECONDS, "queue": MAINTENANCE, **BEAT_RETRIES},
        },
        "write the journal": {
            "task": "ingest.write_journal",
            "schedule": JOURNAL_SECONDS,
            "options": {"expires": FREQUENT_EXPIRES, "queue": MAINTENANCE, **BEAT_RETRIES},
        },
        "sweep attachments": {
            "task": "attachments.sweep",
            "schedule": SWEEP_SECONDS,
            "options": {"expires": FREQUENT_EXPIRES, "queue": MAINTENANCE, **BEAT_RETRIES},
        },
        "sweep problems": {
            "task": "problems.sweep",
            "schedule": SWEEP_SECONDS,
            "options": {"expires": FREQUENT_EXPIRES, "queue": MAINTENANCE, **BEAT_RETRIES},
        },
        "remove what has expired": {
            "task": "ingest.remove_expired",
            "schedule": RETENTION_SECONDS,
            "options": {"expires": 60, "queue": MAINTENANCE, **BEAT_RETRIES},
        },
        "roll up activity": {
            "task": "activity.roll_up",
            "schedule": ROLL_UP_SECONDS,
            "options": {"expires": FREQUENT_EXPIRES, "queue": MAINTENANCE, **BEAT_RETRIES},
        },
    }
    beat_scheduler = "evermuse.beat_schedule:Scheduler"
    worker_hijack_root_logger = False
    worker_cancel_long_running_tasks_on_connection_loss = False
    broker_connection_retry_on_startup = True
    broker_connection_max_retries = None
    broker_connection_timeout = 2
    # A broker that does not answer must not hold a request: sockets have time-outs, and a publish is not retried.
    broker_transport_options = {
        "visibility_timeout": 3600,
        "socket_timeout": 5,
        "socket_connect_timeout": 1,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "retry_on_timeout": False,
        "max_retries": 1,
        "queue_order_strategy": "round_robin",
        # Of RabbitMQ's client; the others do not know them.
        "write_timeout": 5,
        "confirm_publish": PUBLISHER_CONFIRMS,
    }
    task_publish_retry = False
    CELERY_DB_REUSE_MAX = task_connections.TASKS_PER_CONNECTION
    timezone = "UTC"


app.config_from_object(Config)
app.autodiscover_tasks()


@worker_init.connect
@beat_init.connect
def _check_start(**_: Any) -> None:
    serving.warn(run_checks(tags=[serving.CHECKS]))
    serving.refuse_old_database_or_exit()


@worker_init.connect
@beat_init.connect
def _show_life(**_: Any) -> None:
    alive.start()


@worker_init.connect
def _share_the_interpreter(**_: Any) -> None:
    """Switch threads every 0.5 ms. With the default of 5 ms, sixteen download threads mostly wait for the interpreter."""
    sys.setswitchinterval(0.0005)


@worker_init.connect
def _end_promptly(**_: Any) -> None:
    pool_end.shorten()


@worker_init.connect
def _survive_lost_broker(**_: Any) -> None:
    lost_broker.survive()


@celeryd_after_setup.connect
def _keep_tasks_of_a_lost_connection(**_: Any) -> None:
    """Each lost connection would log six lines about this setting, which is false on purpose. Celery shows all such warnings from
    its start on, so they are hidden after it.
    """
    warnings.filterwarnings("ignore", "(?s).*cancels all currently executed tasks", CPendingDeprecationWarning)


@worker_init.connect
def _lower_priority(**_: Any) -> None:
    """Lower the priority of workers: an accepted batch can wait for a moment, but a client cannot."""
    priority.lower()


@celeryd_after_setup.connect
def _replace_stale_messages(instance: Any, **_: Any) -> None:
    """Runs when the worker knows its queues and has not read them yet."""
    stale_messages.replace(app, instance.app.amqp.queues.consume_from)


@celeryd_after_setup.connect
@worker_process_init.connect
def _relax_garbage_collection(**_: Any) -> None:
    """Before the pool starts, so that its processes share what is loaded and do not look through it again, and in each of them."""
    garbage_collection.relax()


@worker_process_init.connect
def _watch_process(**_: Any) -> None:
    """End a landing process that hangs. The pool starts another one."""
    heartbeat.start()


@task_prerun.connect
def _bind_task(task_id: str, task: Any, **_: Any) -> None:
    """Add the task to every log event."""
    contextvars.bind_contextvars(task=task.name, task_id=task_id)


@task_prerun.connect
def _check_connection(**_: Any) -> None:
    task_connections.check()


@task_postrun.connect
def _unbind_task(**_: Any) -> None:
    contextvars.unbind_contextvars("task", "task_id")


@task_revoked.connect
def _log_discarded(sender: Any, request: Any, expired: bool, **_: Any) -> None:
    """In place of Celery's own line, which says that an expired task was revoked (`evermuse.logs`)."""
    log.info("task.expired" if expired else "task.revoked", task=sender.name, task_id=request.id)


@setup_logging.connect
def _keep_our_logging(**_: Any) -> None:
    """Receiving this signal keeps Celery from installing its own log handlers."""
