"""Draining: what a web worker does between SIGTERM and its end, so that a proxy sends it no more requests.

It keeps serving for some seconds. `/readyz` answers 503, so that the proxy's health check takes it out, and each response
closes its
connection, so that no request arrives on a connection that is about to be closed. Without a proxy that checks, draining only
delays the stop, so the default is none.
"""

import asyncio
import signal
from collections.abc import Callable
from types import FrameType

from django.conf import settings

from evermuse import logs

log = logs.get(__name__)

# With the time for running requests, a process ends within 45 seconds.
MOST_SECONDS = 20
_Handler = Callable[[int, FrameType | None], object]


class _State:
    """Whether this process drains."""

    is_on = False


def is_on() -> bool:
    """Whether this process was asked to stop, and takes the last requests."""
    return _State.is_on


def install(loop: asyncio.AbstractEventLoop) -> None:
    """Let SIGTERM begin with draining, in a worker whose server has set its own handler. Call it in the main thread."""
    stop = signal.getsignal(signal.SIGTERM)
    if settings.EVERMUSE_DRAIN_SECONDS <= 0 or not callable(stop):
        return

    def begin(number: int, frame: FrameType | None) -> None:
        # The parent and a supervisor may both send it.
        if not _State.is_on:
            _State.is_on = True
            loop.call_soon_threadsafe(_drain, loop, stop)

    signal.signal(signal.SIGTERM, begin)


def _drain(loop: asyncio.AbstractEventLoop, stop: _Handler) -> None:
    seconds = min(settings.EVERMUSE_DRAIN_SECONDS, MOST_SECONDS)
    log.info("web.draining", seconds=seconds)
    loop.call_later(seconds, stop, signal.SIGTERM, None)
