"""A second process that runs retention at the same time."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from evermuse.advisory_locks import AdvisoryLock
from tests.ingest.sessions import another_session


@pytest.fixture
def locked_elsewhere() -> Callable[[], AbstractContextManager[None]]:
    """Holds the lock of retention on another connection."""

    @contextmanager
    def held() -> Iterator[None]:
        with another_session() as other:
            other.execute("SELECT pg_advisory_xact_lock(%s)", [AdvisoryLock.RETENTION])
            yield

    return held
