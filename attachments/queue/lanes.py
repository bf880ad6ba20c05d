"""Keeps the lanes of the download queue up to date. `attachments.sql.lanes` describes them."""

from typing import Any

from django.conf import settings
from django.db import connection

from attachments import sql
from evermuse import prepared

# The pause between two downloads while the breaker is open.
BREAKER_HOLD_SECONDS = 15.0
WALK_AT_ONCE = 500


def pace() -> dict[str, float]:
    """The parameters of `sql.REFRESH`."""
    window = float(settings.EVERMUSE_ATTACHMENT_RETRY_WINDOW_SECONDS)
    return {"window": window, "longest_hold": BREAKER_HOLD_SECONDS}


def refresh() -> None:
    """Apply all notices, as each claim does. Call it before reading lanes, because idle workers claim nothing."""
    read = sql.NOTICES_AT_ONCE
    locks: list[tuple[None, str, dict[str, Any]]] = [(None, statement, {}) for statement in sql.ADD_AND_LOCK_NOTICED]
    while read >= sql.NOTICES_AT_ONCE:
        [*_, [(read,)]] = prepared.rows_of_several(*locks, (None, sql.REFRESH, pace()))


class LaneWalk:
    """Goes through all lanes over many rounds of the sweeper."""

    def __init__(self) -> None:
        self._pair: tuple[int, str] = (0, "")
        self._lane = 0

    def go_on(self) -> None:
        """Have the next lanes computed again."""
        workspace, host = self._pair
        with connection.cursor() as cursor:
            cursor.execute(sql.WALK_FILES, {"workspace": workspace, "host": host, "limit": WALK_AT_ONCE})
            pairs = cursor.fetchall()
            cursor.execute(sql.WALK_LANES, {"after": self._lane, "limit": WALK_AT_ONCE})
            found = cursor.fetchall()
        self._pair = pairs[-1] if len(pairs) == WALK_AT_ONCE else (0, "")
        self._lane = found[-1][0] if len(found) == WALK_AT_ONCE else 0


walk = LaneWalk()
