"""The start and end of a web worker. It ends with its parent, and within a few seconds after a stop."""

import asyncio
import ctypes
import os
import signal
import sys
import threading

from evermuse.asgi_body import Receive, Send
from evermuse.web import draining, pools

_PR_SET_PDEATHSIG = 1
# A thread may hang in a query to a database that does not answer.
LAST_SECONDS = 5.0


async def serve_lifespan(receive: Receive, send: Send) -> None:
    """Serve ASGI's lifespan events."""
    await receive()
    end_with_parent()
    draining.install(asyncio.get_running_loop())
    await send({"type": "lifespan.startup.complete"})
    await receive()
    pools.stop()
    last = threading.Timer(LAST_SECONDS, os._exit, (1,))
    last.daemon = True
    last.start()
    await send({"type": "lifespan.shutdown.complete"})


def end_with_parent() -> None:
    """Have the kernel kill this worker when its parent dies, because nothing would supervise it then. Linux only."""
    if os.environ.get("EVERMUSE_WEB_PARENT") in (None, str(os.getpid())) or not sys.platform.startswith("linux"):
        return  # the only process has no parent of ours
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if str(os.getppid()) != os.environ["EVERMUSE_WEB_PARENT"]:
        os.kill(os.getpid(), signal.SIGKILL)
