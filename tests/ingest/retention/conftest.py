"""Another process that removes at the same time."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg
import pytest
from django.db import connection

from evermuse.advisory_locks import AdvisoryLock


@pytest.fixture
def locked_elsewhere() -> Callable[[], AbstractContextManager[None]]:
    """Holds the lock of retention on a connection of its own."""

    @contextmanager
    def held() -> Iterator[None]:
        with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}) as other:
            other.execute("SELECT pg_advisory_xact_lock(%s)", [AdvisoryLock.RETENTION])
            yield

    return held
