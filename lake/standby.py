"""Reads lists of records from the standby, if it is at least as new as the primary.

`lake.horizon` says up to which instant a workspace's lists are final. A standby replays the primary's transactions in their
order. If its horizon has reached the primary's, every row that the primary's list would show is there, so a client that has
seen on the primary that its batch landed finds the records in the list. The primary's horizon is read first, by one statement
with the primary key. The standby's is read in the same snapshot as the rows.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TypeVar

from django.db import transaction

from evermuse import replica
from lake import horizon

T = TypeVar("T")


class _Needed(threading.local):
    """The primary's horizon, which the standby must have reached."""

    needed: datetime | None = None


_mine = _Needed()


def read(workspace_id: int, page: Callable[[], T]) -> T:
    """The result of ``page``, which reads from the standby if that is possible, and else from the primary.

    ``page`` must only read, because it is called again after a fault. It reads its rows within `snapshot`.
    """
    if not replica.may_try():
        return replica.read_from_primary(page)
    if (needed := horizon.position(workspace_id)) is None:
        # Nothing has landed, so there is nothing to read.
        return page()
    _mine.needed = needed
    try:
        return replica.read_from_standby(page)
    finally:
        _mine.needed = None


@contextmanager
def snapshot(workspace_id: int) -> Iterator[None]:
    """One snapshot of the standby for the statements of the block, which has what `read` needs. On the primary it does nothing.

    Raises `replica.NotUsable`.
    """
    if replica.alias() != replica.ALIAS:
        yield
        return
    # The standby's transactions are REPEATABLE READ (`evermuse.settings`).
    with transaction.atomic(using=replica.ALIAS):
        reached = horizon.position(workspace_id)
        if _mine.needed is None or reached is None or reached < _mine.needed:
            raise replica.NotUsable("it has not replayed the workspace's last landing")
        yield
