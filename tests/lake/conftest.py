"""Fixtures of the lake's tests: a streaming standby."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections
from psycopg import IsolationLevel

from deploy.local.embedded import Servers
from evermuse import replica
from ingest.activity import health
from ingest.models import Workspace
from tests.parts import standby as standbys
from tests.parts.standby import Standby


@pytest.fixture(scope="module")
def server(servers: Servers) -> Iterator[Standby]:
    made = standbys.of(servers)
    servers.add(made)
    servers.start(made.name)
    servers.wait_ready(made.name)
    yield made
    servers.stop(made.name)
    # The next module makes a new one: this one may need WAL that the primary removes meanwhile.
    shutil.rmtree(made.root)


@pytest.fixture
def standby(server: Standby, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Standby]:
    """The standby as `DATABASE_REPLICA_URL` of this process."""
    # The old threads would keep asking the standby of an earlier module, at its port.
    monkeypatch.setattr(health, "_threads", ThreadPoolExecutor(6))
    given = connections.settings["default"]
    connections.settings[replica.ALIAS] = {
        **given,
        "ENGINE": "tests.parts.standby_engine",
        "NAME": connections["default"].settings_dict["NAME"],
        "PORT": str(server.port),
        "OPTIONS": {**given["OPTIONS"], "isolation_level": IsolationLevel.REPEATABLE_READ},
    }
    replica._Process.retry_at, replica._Process.fault = 0.0, ""
    yield server
    server.rows("SELECT 1 FROM pg_wal_replay_resume()")
    connections[replica.ALIAS].close()
    del connections[replica.ALIAS], connections.settings[replica.ALIAS]
