"""Slow downloads that hold slots give them to files of the same workspace whose hosts may be quicker.

A silent or dripping file that finds no extra place keeps its slot, for up to an hour. Half of the slots that a workspace
may use are for such files, and the others only while no other host of the workspace waits. Then the youngest slow
downloads go back to the queue. Their lanes count as failing (`Lane.Reputation`), so nobody yields to them.
"""

from collections import Counter
from collections.abc import Collection

from django.db import connection

from attachments import sql
from attachments.download_failures import DownloadFailure
from attachments.queue import lanes

YIELDED = DownloadFailure("YIELDED", "a slow download gave its slot to a file of another host", is_transient=True)
# Until such a file may start again.
WAIT_SECONDS = 15.0
# Between two looks at who waits.
LOOK_SECONDS = 1.0


def share(slots: int, used: Counter[int], workspace: int) -> int:
    """How many slots of a process a workspace may use while these are used, as in `attachments.sql.claims`."""
    others = used.total() - used[workspace]
    return max(1, int(0.75 * (slots - others)))


def kept(share: int) -> int:
    """How many slow downloads of a workspace keep their slots in any case."""
    return max(1, share // 2)


def newcomers(workspaces: Collection[int], at_most: int) -> Counter[int]:
    """How many hosts of each workspace wait for a slot without having one, up to ``at_most``."""
    # A file that has just come has no lane yet, and while all slots are held no claim makes one.
    lanes.refresh()
    with connection.cursor() as cursor:
        cursor.execute(sql.NEWCOMERS, {"workspaces": sorted(workspaces), "at_most": at_most})
        return Counter(dict(cursor.fetchall()))
