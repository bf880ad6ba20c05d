"""A database that is set back, while the bucket stays as it is: by a savepoint that is rolled back."""

import contextlib
from collections.abc import Iterator

from django.conf import settings
from django.db import connection, transaction

from lake.restore import marks, sequences
from lake.segments import cache


def forget_looks() -> None:
    """What this process remembers of the bucket is forgotten, as in another process."""
    marks._looked.at = float("-inf")
    cache.blocks = cache.BlockCache(settings.EVERMUSE_SEGMENT_CACHE_BYTES)


@contextlib.contextmanager
def lost() -> Iterator[None]:
    """What the block changes in the database is lost, with the values of its sequences."""
    before = sequences.drawn()
    point = transaction.savepoint()
    yield
    transaction.savepoint_rollback(point)
    # PostgreSQL logs sequences this many values ahead.
    set_sequences({name: value + 32 for name, value in before.items()})
    forget_looks()


def set_sequences(to: dict[str, int]) -> None:
    """A rollback does not set sequences back."""
    with connection.cursor() as cursor:
        for name, value in to.items():
            cursor.execute("SELECT setval(%s::regclass, greatest(%s, 1), %s > 0)", [name, value, value])
