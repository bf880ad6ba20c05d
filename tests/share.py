"""Lets the product's workers and the stores of a test run come before the tests that only compute.

The product gives its workers and its store a low priority (`evermuse.priority`). Beside the other processes of a test run
they would get a tenth of a core, and the journeys, which take the longest, would wait for them until all else is done.
"""

import os
import time
from pathlib import Path

from evermuse.priority import NICENESS

# More than the product's, so that its tests see the difference.
OURS = NICENESS + 2
_GROUP = Path("/proc/self/autogroup")
_TRIES = 10


def yield_to_the_product() -> None:
    """Moves this process into a session of its own and lowers the priority of that session, where Linux schedules
    sessions as groups. The priorities of single processes stay, because those that they start would inherit them.
    """
    if not _GROUP.exists() or os.getpgid(0) == os.getpid():  # the leader of a group cannot begin a session
        return
    os.setsid()
    for _ in range(_TRIES):
        try:
            _GROUP.write_text(str(OURS))
        except BlockingIOError:  # Linux limits how often all users together may do this
            time.sleep(0.2)
        except OSError:  # the kernel was started without autogroups
            return
        else:
            return
