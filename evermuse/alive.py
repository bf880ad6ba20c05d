"""Whether this host's worker or beat lives, for health checks of containers: ``python -m evermuse.alive``.

The process touches a file every few seconds from a thread. The check looks at the file alone, so a broker or database that is
away makes no process unhealthy: restarting it would not help.
"""

import contextlib
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

TOUCH_SECONDS = 5.0
# A worker under load may be late. One that hangs ends itself much sooner (`evermuse.heartbeat`).
STALE_SECONDS = 60.0


def path() -> Path:
    """The file of this container, or of this user on a machine."""
    return Path(tempfile.gettempdir()) / f"evermuse-alive-{os.getuid() if hasattr(os, 'getuid') else 0}"


def start() -> None:
    """Touch the file for as long as this process lives."""
    threading.Thread(target=_touch, name="alive", daemon=True).start()


def _touch() -> None:
    while True:
        # Without the file the check fails, as it should.
        with contextlib.suppress(OSError):
            path().touch()
        time.sleep(TOUCH_SECONDS)


def age() -> float | None:
    """Seconds since the last touch; None if there was none."""
    try:
        return max(0.0, time.time() - path().stat().st_mtime)
    except FileNotFoundError:
        return None


def check() -> None:
    """Exit with a message if the process does not live."""
    found = age()
    if found is None or found > STALE_SECONDS:
        last = "none" if found is None else f"{found:.0f} s ago"
        sys.exit(f"evermuse: no worker or beat of this host is alive (last sign of life: {last})")


if __name__ == "__main__":
    check()
