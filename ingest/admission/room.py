"""Room for the payloads of future batches: partitions for the next ids of the sequence.

The sweeper makes them ahead. A request that finds none, because no worker has run for millions of batches, makes them itself.
"""

from django.db import connection

from evermuse import logs
from ingest import sql
from lake import payload_partitions

log = logs.get(__name__)


def make_ahead() -> int:
    """Make partitions for the next batches. Returns their number."""
    return payload_partitions.make_ahead(_last_drawn())


def make_at_once() -> None:
    """Make partitions for a request whose batch id has none. Raises OperationalError if that takes too long."""
    made = payload_partitions.make_at_once(_last_drawn())
    log.error("payloads.partitions_were_missing", made=made)


def ids_left() -> int:
    """How many batches can be stored before partitions are missing."""
    return payload_partitions.ids_left(_last_drawn())


def _last_drawn() -> int:
    """The last id that was drawn, stored or not."""
    with connection.cursor() as cursor:
        cursor.execute(sql.LAST_DRAWN)
        return int(cursor.fetchone()[0])
