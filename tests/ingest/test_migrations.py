"""Migrations of a deployment with data: stored records are read back unchanged."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import zstandard

from deploy.local.embedded import Servers

ROOT = Path(__file__).resolve().parent.parent.parent
NAME = "evermuse_migrations"
# A batch of three records; the first and the last have the same identity, so the last one is stored.
RECORD = (
    b'{"_type": "call", "_schema_version": "1.0.0", "_event_at": "2026-01-31T12:00:00Z", "_vendor_ids": {"id": "%s"},'
    b' "_product_id": "p", "_project_ids": ["q"], "data": {"v": %s, "text": "%s"}}'
)
SENT = [RECORD % (b"a", b"1", b"x" * 40_000), RECORD % (b"b", b"2.0", b""), RECORD % (b"a", b"3", b"\xc3\xa4")]
KEYS = [uuid.UUID(int=7), uuid.UUID(int=8), uuid.UUID(int=7)]
BEFORE = (("lake", "0001"), ("attachments", "0002"), ("ingest", "0002"))


@pytest.fixture
def dsn(servers: Servers) -> Iterator[str]:
    """A separate database without tables."""
    base = servers.environment["DATABASE_URL"].rpartition("/")[0]
    with psycopg.connect(f"{base}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)".encode())
        connection.execute(f"CREATE DATABASE {NAME}".encode())
        yield f"{base}/{NAME}"
        connection.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)".encode())


def manage(dsn: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *words],
        env={**os.environ, "DATABASE_URL": dsn}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def fill(connection: psycopg.Connection[object]) -> None:
    """Inserts rows as the previous version wrote them."""
    body = b"[" + b", ".join(SENT) + b"]"
    connection.execute("INSERT INTO ingest_workspace (id, name, created_at) VALUES (1, 'w', now())")
    connection.execute(
        "INSERT INTO ingest_batch (id, workspace_id, source, type, status, created_at, record_count, accepted_count, "
        "rejected_count, error_count, first_errors, claim_token, claimed_by, attempts, claimed_alone, crashes, "
        "lone_crashes, failure) VALUES (5, 1, 'api', 'call', 'COMPLETE', now(), 3, 3, 0, 0, '[]', 1, '', 1, false, 0, 0, '')"
    )
    connection.execute(
        "INSERT INTO ingest_batch (id, workspace_id, source, type, status, created_at, record_count, accepted_count, "
        "rejected_count, error_count, first_errors, claim_token, claimed_by, attempts, claimed_alone, crashes, "
        "lone_crashes, failure) SELECT n, 1, 'api', 'call', 'FAILED', now(), 1, 1, 0, 0, '[]', 1, '', 1, false, 0, 0, "
        "'given up: 3 workers died' FROM generate_series(10, 2509) AS n"
    )
    connection.execute(
        "INSERT INTO ingest_payload (batch_id, media_type, query, size, content) VALUES (5, 'application/json', '', %s, %s)",
        [len(body), zstandard.ZstdCompressor().compress(body)],
    )
    connection.execute(
        "INSERT INTO lake_batchoutcomes (batch_id, letters, record_ids) VALUES (5, 'scc', %s)",
        [b"".join(key.bytes for key in KEYS)],
    )
    for key in KEYS[:2]:
        connection.execute(
            "INSERT INTO lake_record (id, workspace_id, batch_id, sequence, version, type, product_id, event_at, "
            "first_accepted_at, updated_at, terms, digest, head, data, storage_uri) "
            "VALUES (%s, 1, 5, 5, 1, 'call', 'p', now(), now(), now(), '{}', %s, %s, %s, 's3://b/k')",
            [key, b"d", b"{}", b"{}"],
        )


def test_records_of_the_previous_version_are_read_from_their_payloads(dsn: str) -> None:
    for app, number in BEFORE:
        manage(dsn, "migrate", app, number, "--verbosity", "0")
    with psycopg.connect(dsn, autocommit=True) as connection:
        fill(connection)
        manage(dsn, "migrate", "--verbosity", "0")
        # A process of the previous version still accepts batches under the table's old name.
        connection.execute(
            "INSERT INTO ingest_payload (batch_id, media_type, query, size, frames, content) VALUES (6, 'x', '', 1, '{}', '')"
        )
        assert connection.execute("SELECT batch_id FROM lake_payload ORDER BY 1").fetchall() == [(5,), (6,)]
        codes = "SELECT failure_code, count(*) FROM ingest_batch GROUP BY 1 ORDER BY 1"
        assert connection.execute(codes).fetchall() == [("GIVEN_UP", 2500), (None, 1)]
        places = connection.execute("SELECT id, body_offset, body_size FROM lake_record ORDER BY id").fetchall()
    body = b"[" + b", ".join(SENT) + b"]"
    assert [(key, body[at : at + size]) for key, at, size in places] == [(KEYS[0], SENT[2]), (KEYS[1], SENT[1])]
    shown = manage(
        dsn, "shell", "-v", "0", "-c",
        "from lake import selectors; from lake.models import Record; import sys; "
        "print([one[one.index(b'\"data\":'):].decode() for one in selectors.encode(list(Record.objects.order_by('id')))])",
    )  # fmt: skip
    assert shown.strip() == repr(['"data":{"v": 3, "text": "ä"}}}', '"data":{"v": 2.0, "text": ""}}}'])
