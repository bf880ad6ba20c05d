"""Task events without publisher confirms.

Celery's event loop reads the connection of the events. If a download thread waited for a confirm on it, the loop could read that
confirm, and the thread would wait with a lock that the loop needs next. RabbitMQ would end this after three minutes, by closing
a connection that sends no heartbeats.
"""

from typing import Any

from celery.app import events
from celery.events.dispatcher import EventDispatcher

# The internals used here are those of these versions. A test fails with any other ones.
WRITTEN_FOR = {"celery": "5.7.0", "amqp": "5.4.2"}


class Dispatcher(EventDispatcher):
    """Celery's, on channels that do not wait for confirms."""

    connection: Any

    def enable(self) -> None:
        """Called before the channel is made, which takes this from its connection."""
        raw = self.connection.connection
        if hasattr(raw, "confirm_publish"):
            raw.confirm_publish = False
        super().enable()


class Events(events.Events):
    """Celery's, with `Dispatcher`."""

    dispatcher_cls = "evermuse.task_events:Dispatcher"
