"""A standby is promoted: new ids are greater than all earlier ones, and neither a standby nor the old primary is written
to."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, connections
from psycopg.conninfo import conninfo_to_dict

from deploy.local.embedded import Servers
from evermuse import prepared, task_connections, timelines
from lake.models import DatabaseTimeline
from lake.restore import new_timeline, sequences, sql
from tests.journeys.stack import until
from tests.parts import pgbouncer
from tests.parts.pgbouncer import PgBouncer
from tests.parts.standby import Standby

RUNBOOKS = Path(__file__).resolve().parent.parent.parent / "evermuse/docs/runbooks.md"
pytestmark = pytest.mark.django_db(transaction=True)
SEQUENCE = "ingest_batch_id_seq"
# PostgreSQL logs a sequence this many values ahead.
LOGGED_AHEAD = 32


@pytest.fixture
def standby(servers: Servers, tmp_path: Path) -> Iterator[Standby]:
    """A standby of its own, because it is promoted."""
    primary = servers.server("postgres").superuser_url("postgres")  # type: ignore[attr-defined]
    made = Standby(tmp_path / "promoted", primary, name="promoted")
    servers.add(made)
    servers.start(made.name)
    servers.wait_ready(made.name)
    yield made
    servers.stop(made.name)


@pytest.fixture(autouse=True)
def seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has seen the first timeline."""
    DatabaseTimeline.objects.update_or_create(pk=1, defaults={"timeline": 1, "promoted_at": None})
    monkeypatch.setattr(timelines._Seen, "timeline", 1)


def connect(port: Any) -> psycopg.Connection[Any]:
    """A connection of the product's role to the tests' database on one of the servers."""
    own = connections["default"].settings_dict
    return psycopg.connect(
        host=own["HOST"], port=port, user=own["USER"], password=own["PASSWORD"], dbname=own["NAME"], autocommit=True
    )


def draw(connection: psycopg.Connection[Any], count: int) -> list[int]:
    found = connection.execute(f"SELECT nextval('{SEQUENCE}') FROM generate_series(1, {count})".encode()).fetchall()
    return [row[0] for row in found]


def promote_without_the_last_changes(standby: Standby) -> list[int]:
    """Promotes a standby that lacks what was committed last. Returns the ids that were given meanwhile."""
    until(standby.has_replayed, "the standby has replayed everything")
    standby.execute("ALTER SYSTEM SET primary_conninfo = ''")
    standby.rows("SELECT pg_reload_conf()")
    until(lambda: standby.rows("SELECT count(*) FROM pg_stat_wal_receiver") == [(0,)], "the standby receives nothing")
    with connect(connections["default"].settings_dict["PORT"]) as primary:
        given = draw(primary, 10 * LOGGED_AHEAD)
    standby.rows("SELECT pg_promote(true, 60)")
    return given


def test_no_id_is_given_twice_by_a_promoted_standby_that_lacks_the_last_changes(standby: Standby) -> None:
    given = promote_without_the_last_changes(standby)
    with connect(standby.port) as unseen:
        [next_id] = draw(unseen, 1)
        assert next_id in given, "PostgreSQL alone would give it again"
    with connect(standby.port) as first, connect(standby.port) as second:
        timelines.look(first)
        [after] = draw(first, 1)
        assert after > max(given)
        assert timelines._Seen.timeline == 2
        # Another process.
        timelines._Seen.timeline = 1
        timelines.look(second)
        assert draw(second, 1) == [after + 1], "they leap once"
        assert second.execute("SELECT timeline, promoted_at IS NULL FROM lake_databasetimeline").fetchall() == [
            (2, False)
        ]


@pytest.fixture
def pooler(servers: Servers, tmp_path: Path) -> Iterator[PgBouncer]:
    """Django's connection leads to the primary through a pooler."""
    own = connection.settings_dict
    direct = f"postgresql://{own['USER']}:{own['PASSWORD']}@{own['HOST']}:{own['PORT']}/{own['NAME']}"
    made = PgBouncer(tmp_path / "pooler", direct)
    servers.add(made)
    servers.start(made.name)
    servers.wait_ready(made.name)
    connection.close()
    port, own["PORT"] = own["PORT"], str(made.port)
    connection.ensure_connection()
    yield made
    connection.close()
    own["PORT"] = port
    servers.stop(made.name)


def lead_to(pooler: PgBouncer, port: int, servers: Servers) -> None:
    """Let the pooler move Django's connection to another server."""
    pooler.lead_to(port)
    servers.signal(pooler.name, signal.SIGHUP)
    until(lambda: prepared.rows("SELECT inet_server_port()", []) == [(port,)], "the pooler has moved the connection")


@pytest.mark.skipif(bool(pgbouncer.missing()), reason=str(pgbouncer.missing()))
def test_next_task_notices_that_a_pooler_has_moved_its_connection(
    standby: Standby, servers: Servers, pooler: PgBouncer
) -> None:
    primary = int(conninfo_to_dict(pooler.target)["port"] or 0)
    given = promote_without_the_last_changes(standby)
    lead_to(pooler, standby.port, servers)
    kept = connection.connection
    task_connections.check()
    assert draw(connection.connection, 1)[0] > max(given)
    assert connection.connection is kept
    lead_to(pooler, primary, servers)
    task_connections.check()
    with pytest.raises(OperationalError, match="an old primary, on timeline 1"):
        prepared.rows("SELECT 1", [])


def test_process_that_has_seen_the_new_primary_refuses_the_old_one(standby: Standby) -> None:
    until(standby.has_replayed, "the standby has replayed everything")
    standby.rows("SELECT pg_promote(true, 60)")
    with connect(standby.port) as new, connect(connections["default"].settings_dict["PORT"]) as old:
        timelines.look(new)
        with pytest.raises(psycopg.OperationalError, match="an old primary, on timeline 1"):
            timelines.look(old)


def test_standby_is_refused_as_the_database(standby: Standby) -> None:
    with connect(standby.port) as connection, pytest.raises(psycopg.OperationalError, match="leads to a standby"):
        timelines.look(connection)


def test_timeline_is_noted_once_the_database_accepts_writes() -> None:
    with connect(connections["default"].settings_dict["PORT"]) as connection:
        DatabaseTimeline.objects.all().delete()
        timelines._Seen.timeline = 0
        connection.execute("SET default_transaction_read_only = on")
        timelines.look(connection)
        assert timelines._Seen.timeline == 0
        connection.execute("SET default_transaction_read_only = off")
        timelines.look(connection)
        assert timelines._Seen.timeline == 1
        assert DatabaseTimeline.objects.get().timeline == 1


def test_database_that_moved_to_a_new_cluster_follows_the_timeline_of_that_cluster() -> None:
    DatabaseTimeline.objects.filter(pk=1).update(timeline=5)
    timelines._Seen.timeline = 0
    with connect(connections["default"].settings_dict["PORT"]) as connection:
        [before] = draw(connection, 1)
        timelines.look(connection)
        assert draw(connection, 1) == [before + 1], "nothing is lost, so no id leaps"
    assert DatabaseTimeline.objects.get().timeline == 1


def test_first_connection_to_an_empty_database_causes_no_error_in_its_log() -> None:
    with connect(connections["default"].settings_dict["PORT"]) as raw, raw.transaction(force_rollback=True):
        raw.execute("ALTER TABLE lake_databasetimeline RENAME TO other")
        assert not new_timeline.note(raw, 1)
        assert raw.info.transaction_status is psycopg.pq.TransactionStatus.INTRANS, "no statement failed"


def test_process_that_dies_during_the_leap_leaves_the_last_ids_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    own = connections["default"].settings_dict
    with connect(own["PORT"]) as raw:
        [last] = draw(raw, 1)
        # The sequences have leapt, and the transaction fails.
        dies = sql.LEAP.replace("WHERE t.id = 1", "WHERE t.id = 1 AND 1 / (told.moved IS NULL)::int = 1")
        with monkeypatch.context() as patched, pytest.raises(psycopg.errors.DivisionByZero):
            patched.setattr(sql, "LEAP", dies)
            new_timeline.note(raw, 2)
        try:
            assert new_timeline.note(raw, 2)
            row = DatabaseTimeline.objects.get(pk=1)
            assert (row.timeline, row.before[SEQUENCE]) == (2, last)
            assert row.moved[SEQUENCE] == last + 2 * sequences.LEAST_LEAP
            assert draw(raw, 1) == [row.moved[SEQUENCE] + 1]
        finally:
            for name, value in DatabaseTimeline.objects.get(pk=1).before.items():
                raw.execute("SELECT setval(%s::regclass, %s)", [name, max(1, value)])


def test_runbook_ends_the_wait_for_a_standby_that_the_configuration_file_names(standby: Standby) -> None:
    """`pg_basebackup` copies the file with the primary's settings, and ALTER SYSTEM RESET does not change what it says."""
    with (standby.root / "postgresql.conf").open("a") as file:
        file.write("synchronous_standby_names = '*'\n")
    standby.rows("SELECT pg_reload_conf()")
    until(lambda: names_of_standbys(standby) == "*", "the file is read")
    standby.rows("SELECT pg_promote(true, 60)")
    step = (
        RUNBOOKS.read_text().partition("3. If the new primary has `synchronous_standby_names`")[2].partition("\n4. ")[0]
    )
    clear, reload = re.findall(r"`((?:ALTER|SELECT) [^`]+)`", step)
    standby.execute(clear)
    standby.rows(reload)
    until(lambda: names_of_standbys(standby) == "", "no commit waits for a standby")


def names_of_standbys(standby: Standby) -> str:
    [[names]] = standby.rows("SHOW synchronous_standby_names")
    return str(names)
