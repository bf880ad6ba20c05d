"""Keeps a worker running when Redis or Valkey dies. kombu has no setting for it, so this uses its internals.

After a lost connection Celery closes it twice. The first time, kombu may fail before it has put back the messages of running
tasks. It tries that again the second time, when the channel's connection has no address any more. The AttributeError that
follows ends the worker. An error of the connection, which Celery expects there, lets it connect again. The messages are put
back after the visibility timeout. Until then nothing is missing, because messages are only hints.
"""

from typing import Any

import redis
from kombu.transport import redis as transport

# The internals used here are those of these versions. A test fails with any other ones.
WRITTEN_FOR = {"celery": "5.7.0", "kombu": "5.7.0"}

Channel: Any = transport.Channel
_parameters = Channel._connparams


def _parameters_if_open(channel: Any, *arguments: Any, **options: Any) -> Any:
    if channel.connection.client is None:
        raise redis.ConnectionError("the connection to the broker is closed")
    return _parameters(channel, *arguments, **options)


def survive() -> None:
    """Fail with an error of the connection, and no AttributeError, where a closed connection is used."""
    Channel._connparams = _parameters_if_open
