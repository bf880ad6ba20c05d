"""Lanes of the download queue: brought up to date, and walked over by the sweeper. See `attachments.sql.lanes`."""

from django.conf import settings
from django.db import connection

from attachments import sql
from evermuse import prepared

# Between two downloads from a host that only fails.
BREAKER_HOLD_SECONDS = 15.0
WALK_AT_ONCE = 500


def pace() -> dict[str, float]:
    """What `sql.REFRESH` needs."""
    window = float(settings.EVERMUSE_ATTACHMENT_RETRY_WINDOW_SECONDS)
    return {"window": window, "longest_hold": BREAKER_HOLD_SECONDS}


def refresh() -> None:
    """Read all notices, as each claim does: for those who look at lanes while no worker claims anything."""
    read = sql.NOTICES_AT_ONCE
    while read >= sql.NOTICES_AT_ONCE:
        ((read,),) = prepared.rows_under(sql.CLAIM_LOCK, (sql.REFRESH, pace()))[0]


class Walk:
    """Looks at the next lanes at each round, from the first again after the last."""

    def __init__(self) -> None:
        self._pair: tuple[int, str] = (0, "")
        self._lane = 0

    def go_on(self) -> None:
        """Have some more lanes computed anew."""
        workspace, host = self._pair
        with connection.cursor() as cursor:
            cursor.execute(sql.WALK_FILES, {"workspace": workspace, "host": host, "limit": WALK_AT_ONCE})
            pairs = cursor.fetchall()
            cursor.execute(sql.WALK_LANES, {"after": self._lane, "limit": WALK_AT_ONCE})
            found = cursor.fetchall()
        self._pair = pairs[-1] if len(pairs) == WALK_AT_ONCE else (0, "")
        self._lane = found[-1][0] if len(found) == WALK_AT_ONCE else 0


walk = Walk()
