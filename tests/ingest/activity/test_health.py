"""Whether the servers answer is asked now, and not of connections from before a restart."""

import psycopg
import pytest
from django.db import connection

from ingest.activity import health


@pytest.mark.django_db(transaction=True)
def test_database_that_was_restarted_is_reported_as_ok() -> None:
    assert health.check()["database"] == "ok"
    assert connection.connection is not None
    pid, settings = connection.connection.info.backend_pid, connection.get_connection_params()
    with psycopg.connect(**{name: settings[name] for name in ("host", "port", "user", "password", "dbname")}) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
    assert health.check()["database"] == "ok"
