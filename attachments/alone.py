"""Fetches suspects one after another in a separate process: ``python -m attachments.alone NAME``.

If this process hangs, dies or runs out of memory, the cause is the one file that it has claimed under NAME. No other
download is affected. It exits with 0 when no suspect is due. `attachments.suspects` starts it and interprets its exit
code.
"""

import os
import resource
import signal
import sys
import threading
import time

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "evermuse.settings")
    django.setup()

from django.conf import settings

from attachments import fetching
from attachments.queue import crashes
from evermuse import heartbeat

OUT_OF_MEMORY, UNEXPECTED = 71, 70
GIVE_BACK_SECONDS = 5.0


def run(name: str) -> int:
    """Fetch suspects until none is due, and return the exit code."""
    try:
        while not fetching.stopping.is_set() and (claim := crashes.take_suspect(name)):
            fetching.fetch_one(claim)
    except MemoryError:
        return OUT_OF_MEMORY
    except Exception:
        fetching.log.exception("attachment.alone_failed")
        return UNEXPECTED
    return 0


def _watch_parent() -> None:
    """End this process when the worker has gone. Standard input closes then, however the worker ended."""
    sys.stdin.buffer.read()
    fetching.stop()
    time.sleep(GIVE_BACK_SECONDS)
    os._exit(0)


def main() -> None:
    """Set the limits of this process, then fetch."""
    limit = settings.EVERMUSE_ATTACHMENT_ALONE_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    signal.signal(signal.SIGTERM, lambda *_: fetching.stop())
    heartbeat.start()
    threading.Thread(target=_watch_parent, name="parent", daemon=True).start()
    code = run(sys.argv[1])
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
