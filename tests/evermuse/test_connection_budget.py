"""Few connections of PostgreSQL that are left are reported before one is refused."""

import pytest
from django.db import connection
from django.test import Client

from evermuse import connection_budget
from evermuse.connection_budget import ConnectionBudget


def test_budget_counts_connections_and_leaves_out_reserved_ones(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('max_connections')::int")
        [most] = cursor.fetchone()
    budget = connection_budget.read()
    assert 1 <= budget.used <= budget.allowed < most


@pytest.mark.parametrize(("used", "is_told"), [(8, False), (9, True)])
def test_process_that_starts_warns_if_few_connections_are_left(
    db: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, used: int, is_told: bool
) -> None:
    monkeypatch.setattr(connection_budget, "read", lambda _: ConnectionBudget(used, 10))
    connection_budget.warn_if_short(connection)
    assert ("database.connections_short" in caplog.text) is is_told


def test_metrics_report_how_many_connections_are_in_use_and_allowed(db: None, client: Client) -> None:
    found = dict(line.rsplit(" ", 1) for line in client.get("/metrics").content.decode().splitlines() if line[0] != "#")
    assert 1 <= float(found["evermuse_database_connections"]) < float(found["evermuse_database_connections_allowed"])
