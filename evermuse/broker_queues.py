"""How many messages wait in a queue of the broker, on Redis and RabbitMQ alike."""

from kombu import Connection
from kombu.exceptions import ChannelError


def length(connection: Connection, queue: str) -> int:
    """The number of messages that no worker has taken; 0 if there is no such queue. Raises what the transport raises."""
    # Each question has its own channel, because RabbitMQ closes a channel that asked for a missing queue.
    channel = connection.channel()
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)  # type: ignore[attr-defined]
    except ChannelError:
        return 0
