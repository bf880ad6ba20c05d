"""RabbitMQ as the broker: with quorum queues and publisher confirms, and after a restart."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import Connection

from deploy.local.child import Child
from deploy.local.embedded import Servers
from evermuse.celery import app
from tests.journeys.stack import until
from tests.parts import rabbitmq
from tests.parts.rabbitmq import RabbitMQ

pytestmark = pytest.mark.skipif(bool(rabbitmq.missing()), reason=str(rabbitmq.missing()))


@pytest.fixture
def broker(servers: Servers, tmp_path: Path) -> Iterator[RabbitMQ]:
    server = RabbitMQ(tmp_path / "rabbitmq")
    servers.add(server)
    servers.start("rabbitmq")
    servers.wait_ready("rabbitmq")
    yield server
    servers.stop("rabbitmq")


@pytest.fixture
def beat(broker: RabbitMQ, tmp_path: Path) -> Iterator[Child]:
    """Beat with a sweep each second, quorum queues and confirms."""
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "evermuse",
        "beat",
        "--pidfile=",
        f"--schedule={tmp_path}/schedule",
    ]
    settings = {**broker.environment(), **rabbitmq.SAFEST, "EVERMUSE_SWEEP_SECONDS": "1"}
    child = Child("beat", command, {**os.environ, **settings})
    child.start()
    yield child
    child.stop()
    if not child.wait(20.0):
        child.kill()


def test_beat_publishes_to_quorum_queues_and_continues_after_the_broker_was_restarted_and_killed(
    servers: Servers, broker: RabbitMQ, beat: Child
) -> None:
    until(lambda: broker.waiting("maintenance"), "beat has published")
    assert "maintenance\tquorum" in broker.control("list_queues", "--silent", "name", "type")
    pid = beat.pid
    # RabbitMQ loses a quorum queue on a single node that is killed within seconds of its declaration: it never gets a leader
    # again. A queue that a stopped node has written to disk survives.
    for how in (signal.SIGTERM, signal.SIGKILL):
        before, node = len(broker.waiting("maintenance")), servers.pid("rabbitmq")
        servers.signal("rabbitmq", how)
        until(lambda node=node: servers.pid("rabbitmq") not in {node, None}, "the broker runs again")  # type: ignore[misc]
        servers.wait_ready("rabbitmq")
        until(lambda before=before: len(broker.waiting("maintenance")) > before, "beat publishes again")  # type: ignore[misc]
    assert beat.pid == pid


def test_event_of_a_download_thread_does_not_wait_for_a_confirm_which_the_event_loop_could_read_first(
    servers: Servers, broker: RabbitMQ
) -> None:
    options = app.conf.broker_transport_options | {"confirm_publish": True}
    with Connection(broker.url, transport_options=options) as connection:
        connection.ensure_connection(max_retries=3)
        dispatcher = app.events.Dispatcher(connection)
        dispatcher.send("worker-online")  # declares the exchange
        servers.signal("rabbitmq", signal.SIGSTOP)
        thread = threading.Thread(target=dispatcher.send, args=["task-succeeded"], daemon=True)
        try:
            thread.start()
            until(lambda: not thread.is_alive(), "the event is sent while nobody confirms it", seconds=20)
        finally:
            servers.signal("rabbitmq", signal.SIGCONT)
