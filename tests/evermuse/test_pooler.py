"""Behind a PgBouncer in transaction mode, every statement returns its own rows, whichever session runs it."""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import DataError, OperationalError, connection, transaction
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from deploy.local.embedded import Servers
from evermuse import pooler, prepared, server_urls, time_limits
from evermuse.raw_connection import raw_connection
from evermuse.session_limits import LIMITS
from evermuse.statement_names import StatementNames
from tests.http_client import ApiClient
from tests.journeys.stack import until
from tests.parts import pgbouncer
from tests.parts.pgbouncer import PgBouncer
from tests.records import record

LOCK = "SELECT pg_advisory_xact_lock(42)"
# Sessions of the pooler outlive a test, so each test has a statement of its own.
serial = count()
no_pgbouncer = pytest.mark.skipif(bool(pgbouncer.missing()), reason=str(pgbouncer.missing()))
keeps = not pgbouncer.missing() and pgbouncer.keeps_statements()


@pytest.fixture(autouse=True)
def _with_a_clean_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StatementNames, "has_lost_any", False)
    monkeypatch.setattr(pooler, "_told", set())


@pytest.fixture(scope="module")
def bouncer(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PgBouncer]:
    server = PgBouncer(tmp_path_factory.mktemp("pgbouncer"), servers.environment["DATABASE_URL"], sessions=3)
    servers.add(server)
    servers.start("pgbouncer")
    servers.wait_ready("pgbouncer")
    yield server
    servers.stop("pgbouncer")


@pytest.fixture
def pooled(bouncer: PgBouncer, transactional_db: None) -> Iterator[PgBouncer]:
    """Django's connections lead to the pooler during the test."""
    connection.close()
    direct = dict(connection.settings_dict)
    connection.settings_dict |= {"HOST": "127.0.0.1", "PORT": str(bouncer.port)}
    yield bouncer
    connection.close()
    connection.settings_dict |= direct
    with connection.cursor() as cursor:
        for name in LIMITS:
            cursor.execute(f"ALTER ROLE CURRENT_USER IN DATABASE {direct['NAME']} RESET {name}")
    connection.close()


@contextmanager
def session_in_use() -> Iterator[None]:
    """Another client's transaction takes the session that the pooler would give to the next one."""
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT 1")
        yield


@no_pgbouncer
def test_statements_of_many_connections_return_their_own_rows(pooled: PgBouncer) -> None:
    def client(number: int) -> list[tuple[Any, ...]]:
        wrong = []
        try:
            for turn in range(40):
                kind = (number + turn) % 7
                statement = f"SELECT {kind}::int AS kind, %(n)s::int AS n"
                expected = (kind, turn)
                found = [prepared.rows(statement, {"n": turn})[0]]
                with transaction.atomic():
                    found.append(prepared.rows(statement, {"n": turn})[0])
                    found.append(prepared.rows(statement + " -- again", {"n": turn})[0])
                found.append(prepared.rows_of_several((None, LOCK, {}), (None, statement, {"n": turn}))[1][0])
                found.append((int(prepared.value(f"SELECT {kind} + 0 * %(n)s::int", {"n": turn}) or -1), turn))
                wrong += [one for one in found if one != expected]
        finally:
            connection.close()
        return wrong

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(client, range(8))) == [[]] * 8


@no_pgbouncer
def test_pooler_is_found_and_statements_are_prepared_only_if_it_keeps_them(pooled: PgBouncer) -> None:
    own = f"SELECT {next(serial)} AS serial"
    prepared.rows(own, {})
    with raw_connection() as raw:
        assert pooler.is_pooled(raw)
        assert pooler.may_prepare(raw) is keeps
    with transaction.atomic():
        prepared.rows(own, {})
        known = prepared.rows(
            "SELECT name FROM pg_prepared_statements WHERE starts_with(statement, %(own)s)", {"own": own}
        )
    assert len(known) == keeps
    assert not any(name.startswith("evermuse") for (name,) in known)
    assert ("database.unprepared_statements" in pooler._told) is not keeps


@pytest.mark.django_db(transaction=True)
def test_statements_of_a_direct_connection_are_prepared_and_named_by_their_content() -> None:
    connection.close()
    with raw_connection() as raw:
        assert (pooler.is_pooled(raw), pooler.may_prepare(raw)) == (False, True)
    for _ in range(2):
        prepared.rows("SELECT %(n)s::int", {"n": 1})
        prepared.value("SELECT %(n)s::int", {"n": 1})
    names = prepared.rows("SELECT name FROM pg_prepared_statements WHERE starts_with(statement, 'SELECT $1::int')", {})
    assert len(set(names)) == 2
    connection.close()
    for _ in range(2):
        prepared.value("SELECT %(n)s::int", {"n": 1})
        prepared.rows("SELECT %(n)s::int", {"n": 1})
    again = prepared.rows("SELECT name FROM pg_prepared_statements WHERE starts_with(statement, 'SELECT $1::int')", {})
    assert set(again) == set(names)


def _deceive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pooler that is taken for one that keeps prepared statements."""
    monkeypatch.setattr(pooler, "_renames", lambda raw: True)


def _run(kind: str, statement: str, n: int) -> int:
    if kind == "value":
        return int(prepared.value(statement, {"n": n}) or 0)
    if kind == "rows_of_several":
        return int(prepared.rows_of_several((None, LOCK, {}), (None, statement, {"n": n}))[1][0][0])
    return int(prepared.rows(statement, {"n": n})[0][0])


def _doubling() -> str:
    return f"SELECT %(n)s::int * 2 AS n_{next(serial)}"


each_way = pytest.mark.parametrize("way", ["rows", "value", "rows_of_several"])


@no_pgbouncer
@pytest.mark.skipif(keeps, reason="this pgbouncer keeps prepared statements")
@each_way
def test_statement_that_a_session_has_lost_runs_again_unprepared(
    pooled: PgBouncer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    _deceive(monkeypatch)
    statement = _doubling()
    assert _run(way, statement, 3) == 6
    with session_in_use():
        assert _run(way, statement, 4) == 8
    assert StatementNames.has_lost_any
    assert "database.prepared_statement_lost" in pooler._told


@no_pgbouncer
@pytest.mark.skipif(keeps, reason="this pgbouncer keeps prepared statements")
@each_way
def test_statement_that_another_client_prepared_in_the_session_runs_unprepared(
    pooled: PgBouncer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    _deceive(monkeypatch)
    statement = _doubling()
    assert _run(way, statement, 3) == 6
    connection.close()
    assert _run(way, statement, 4) == 8
    assert StatementNames.has_lost_any


@no_pgbouncer
@pytest.mark.skipif(keeps, reason="this pgbouncer keeps prepared statements")
def test_transaction_with_a_lost_statement_can_be_tried_again(
    pooled: PgBouncer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _deceive(monkeypatch)
    statement = _doubling()
    assert _run("rows", statement, 3) == 6
    with session_in_use():
        with pytest.raises(OperationalError, match="try again"), transaction.atomic():
            _run("rows", statement, 4)
        with transaction.atomic():
            assert _run("rows", statement, 4) == 8


@pytest.mark.django_db(transaction=True)
@each_way
def test_statement_that_failed_once_stays_prepared(way: str) -> None:
    statement = f"SELECT 6 / %(n)s::int AS n_{next(serial)}"
    for _ in range(2):
        with pytest.raises(DataError):
            _run(way, statement, 0)
        assert _run(way, statement, 2) == 3
    assert not StatementNames.has_lost_any


@pytest.mark.django_db(transaction=True)
def test_statement_whose_result_has_another_type_since_a_migration_runs_again() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE pooler_aged AS SELECT 5 AS a")
    try:
        for kind, expected in (("bigint", 5), ("text", "5"), ("bigint", 5)):
            with connection.cursor() as cursor:
                cursor.execute(f"ALTER TABLE pooler_aged ALTER a TYPE {kind} USING a::{kind}")
            assert prepared.rows("SELECT * FROM pooler_aged", {}) == [(expected,)]
            assert prepared.value("SELECT * FROM pooler_aged", {}) == "5"
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE pooler_aged")


@no_pgbouncer
def test_time_limits_hold_behind_a_pooler_as_defaults_of_the_role(pooled: PgBouncer) -> None:
    assert "database.no_time_limits" not in pooler._told
    prepared.rows("SELECT 1", {})
    assert "database.no_time_limits" in pooler._told
    assert set(time_limits.set_for_role()) == set(LIMITS)
    fresh = {**connection.get_connection_params(), "port": conninfo_to_dict(pooled.target)["port"], "options": ""}
    with psycopg.connect(**fresh) as session:
        found = session.execute("SELECT name, setting::int FROM pg_settings WHERE name = ANY(%s)", [list(LIMITS)])
        assert dict(found.fetchall()) == LIMITS


@no_pgbouncer
def test_migrate_behind_a_pooler_asks_for_the_direct_address(pooled: PgBouncer, settings: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', '5s', false)")
    try:
        with pytest.raises(CommandError, match="DATABASE_DIRECT_URL"):
            call_command("migrate", verbosity=0)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
    target = conninfo_to_dict(pooled.target)
    settings.DATABASE_DIRECT = server_urls.database(pooled.target) | {"NAME": connection.settings_dict["NAME"]}
    call_command("migrate", verbosity=0)
    with raw_connection() as raw:
        assert not pooler.is_pooled(raw)
        assert raw.info.port == int(str(target["port"]))


@pytest.mark.django_db(transaction=True)
def test_limits_of_a_direct_connection_are_not_set_for_the_role() -> None:
    assert time_limits.set_for_role() == []


@no_pgbouncer
@pytest.mark.parametrize("is_cached", [False, True])
def test_post_whose_pooler_dies_during_the_commit_gets_a_500_because_the_batch_is_stored(
    pooled: PgBouncer, new_client: Callable[..., ApiClient], servers: Servers, is_cached: bool
) -> None:
    api = new_client()
    # The first request of a key changes the key's row, the second one puts it into the cache, and the third one uses it.
    before = [api, api, api] if is_cached else [new_client()]

    def post(client: ApiClient) -> int:
        return int(client.post(record()).status_code)

    database = str(connection.settings_dict["NAME"])
    target = make_conninfo(pooled.target, dbname=database)
    waits = "SELECT count(*) FROM pg_locks WHERE relation = 'ingest_batch'::regclass AND NOT granted"
    with ThreadPoolExecutor(1) as thread, psycopg.connect(target, autocommit=True) as watcher:
        # Otherwise its new connection would wait for the lock while it prepares the insert.
        assert list(thread.map(post, before)) == [202] * len(before)
        with psycopg.connect(target) as holder:
            holder.execute("LOCK TABLE ingest_batch IN EXCLUSIVE MODE")
            answer = thread.submit(post, api)
            until(lambda: watcher.execute(waits).fetchone() == (1,), "the insert waits")
            servers.signal("pgbouncer", signal.SIGKILL)
            assert answer.result() == 500
        stored = (len(before) + 1,)
        until(lambda: watcher.execute("SELECT count(*) FROM ingest_batch").fetchone() == stored, "it is stored")
        thread.submit(connection.close)
    servers.wait_ready("pgbouncer")
    connection.close()
    assert post(api) == 202
