"""manage.py migrate beside other sessions and after an interruption."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from deploy.local.embedded import Servers
from tests.ingest.test_migrations import ROOT, manage
from tests.journeys.stack import until

NAME, TEMPLATE = "evermuse_migrate_command", "evermuse_migrate_command_template"
# The migration after this one builds one index concurrently.
BEFORE, INDEX, TABLE = ("attachments", "0007"), "intent_in_quota", "attachments_uploadintent"


@pytest.fixture(scope="module")
def migrated(servers: Servers) -> Iterator[str]:
    """The URL of the server, where TEMPLATE is a database at the migration before the index."""
    base = servers.environment["DATABASE_URL"].rpartition("/")[0]
    with psycopg.connect(f"{base}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)".encode())
        connection.execute(f"CREATE DATABASE {TEMPLATE}".encode())
        manage(f"{base}/{TEMPLATE}", "migrate", *BEFORE, "--verbosity", "0")
        yield base
        connection.execute(f"DROP DATABASE {TEMPLATE} WITH (FORCE)".encode())


@pytest.fixture
def dsn(migrated: str) -> Iterator[str]:
    """A database of its own, at the migration before the index."""
    with psycopg.connect(f"{migrated}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)".encode())
        connection.execute(f"CREATE DATABASE {NAME} TEMPLATE {TEMPLATE}".encode())
        yield f"{migrated}/{NAME}"
        connection.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)".encode())


@contextmanager
def backup(dsn: str) -> Iterator[None]:
    """A transaction that has read the table and stays open, as a backup's does."""
    with psycopg.connect(dsn) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute(f"SELECT count(*) FROM {TABLE}".encode())
        yield


def indexes(dsn: str) -> dict[str, bool]:
    """The table's indexes, and whether each is valid."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT indexrelid::regclass::text, indisvalid FROM pg_index WHERE indrelid = %s::regclass", [TABLE]
        )
        return dict(rows.fetchall())


def test_migrate_waits_for_a_backup_without_time_limits(dsn: str) -> None:
    limited = f"{dsn}?options=-c%20lock_timeout%3D500%20-c%20statement_timeout%3D500"
    with backup(dsn):
        migrating = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "migrate", "attachments", "0008", "--verbosity", "0"],
            env={**os.environ, "DATABASE_URL": limited}, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        with psycopg.connect(dsn, autocommit=True) as watcher:
            waited = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%%' AND query_start < now() - interval '2 s'"
            until(
                lambda: watcher.execute(waited).fetchone() == (1,) or migrating.poll() is not None,
                "the build waits for longer than the limits",
            )
        assert migrating.poll() is None
    assert migrating.wait(timeout=120) == 0, migrating.stderr
    assert indexes(dsn)[INDEX]


def test_migrate_builds_an_index_again_that_an_interrupted_run_left_invalid(dsn: str) -> None:
    with backup(dsn), psycopg.connect(dsn, autocommit=True) as builder:
        builder.execute("SET statement_timeout = 500")
        with pytest.raises(psycopg.errors.QueryCanceled):
            builder.execute(f"CREATE INDEX CONCURRENTLY {INDEX} ON {TABLE} (id)".encode())
    assert indexes(dsn)[INDEX] is False
    manage(dsn, "migrate", "attachments", "0008", "--verbosity", "0")
    assert indexes(dsn)[INDEX]


def test_migrate_repeats_a_migration_whose_first_index_is_there_already(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"CREATE INDEX {INDEX} ON {TABLE} (id)".encode())
    manage(dsn, "migrate", "attachments", "0008", "--verbosity", "0")
    with psycopg.connect(dsn) as connection:
        (definition,) = connection.execute("SELECT pg_get_indexdef(%s::regclass)", [INDEX]).fetchone() or ("",)
    assert "is_cleared" in definition


def test_postgresql_below_the_supported_version_is_rejected_by_every_process_and_migrate(
    dsn: str, tmp_path: Path
) -> None:
    """The newest version that we could name is taken for the minimum, so that the server at hand is too old."""
    script = (
        "import sys; from evermuse.postgresql import base; base.DatabaseFeatures.minimum_database_version = (99,); {}"
    )
    entries = {
        "migrate": "sys.argv = ['manage.py', 'migrate']; import runpy; runpy.run_path('manage.py', run_name='__main__')",
        "web": "import evermuse.asgi",
        "beat": "from celery.bin.celery import celery; "
        f"celery(['-A', 'evermuse', 'beat', '--pidfile=', '--schedule={tmp_path / 'schedule'}'])",
    }
    for name, entry in entries.items():
        done = subprocess.run(
            [sys.executable, "-c", script.format(entry)],
            cwd=ROOT, env={**os.environ, "DATABASE_URL": dsn}, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 1, name
        assert "PostgreSQL 99 or later is required (found 18" in done.stderr, name
