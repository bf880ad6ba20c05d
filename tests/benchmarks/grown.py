"""Databases of the sizes that growth is measured at, filled by the server itself. The one place that names the columns.

Half of all batches are one workspace's, the rest are spread over 99 others. Which project, thread, tag or participant a
record has is skewed: the first is frequent, the last rare. Besides, a fixed number of records and batches, whatever the
size, are rare on purpose: what a filter must find without looking through all the others.
"""

import json
import os
import time
from dataclasses import dataclass
from typing import Any

import psycopg

from lake import frames, terms
from tests.benchmarks.stack import BenchStack

SMALL_RECORDS = 10_000
RECORDS_PER_BATCH = 10
SLICE = 250_000
WORKSPACES = 100
# Per workspace. The large one has at least as many of each as all others together.
LARGE = {"project": 505, "thread": 10_100, "tag": 200, "participant": 5_000}
OTHERS = {"project": 5, "thread": 100, "tag": 20, "participant": 50}
RARE_TAG = "rare"

WORKSPACE = "INSERT INTO ingest_workspace (name, created_at) SELECT 'grown-' || n, now() FROM generate_series(1, %s) n"
# As after each workspace's last landing: lists end at a known instant (`lake.horizon`).
CLOCKS = "INSERT INTO lake_changeclock (workspace_id, at) SELECT id, now() FROM ingest_workspace"
VOCABULARY = """
CREATE UNLOGGED TABLE bench_term (workspace_id bigint, kind text, number int, name text, term bigint,
  PRIMARY KEY (workspace_id, kind, number))
"""
# One statement per slice, with its first and last batch; the batches spread over a year that ends now.
BATCHES = """
INSERT INTO ingest_batch (id, workspace_id, source, type, status, created_at, record_count, accepted_count,
  rejected_count, error_count, first_errors, claim_token, claimed_by, claimed_alone, attempts, crashes, lone_crashes,
  failure, landed_at, processing_at, completed_at)
SELECT b, w, CASE WHEN rare THEN 'import' WHEN u < 0.1 THEN 'crm' ELSE 'api' END,
  CASE WHEN rare THEN 'spreadsheet' WHEN u < 0.7 THEN 'conversation' WHEN u < 0.9 THEN 'email' ELSE 'document' END,
  CASE WHEN rare THEN 'FAILED' ELSE 'COMPLETE' END, at, {per_batch}, CASE WHEN rare THEN 0 ELSE {per_batch} END,
  CASE WHEN rare THEN {per_batch} ELSE 0 END, CASE WHEN rare THEN {per_batch} ELSE 0 END, '[]', 1, '', false, 1, 0, 0,
  CASE WHEN rare THEN 'every record was rejected' ELSE '' END, at + interval '1 second', at + interval '1 second',
  at + interval '2 seconds'
FROM (
  SELECT b, CASE WHEN b %% 2 = 0 THEN 1 ELSE 2 + (b / 2) %% {others} END AS w,
    (hashint8extended(b, 1) & 1048575) / 1048576.0 AS u,
    b %% (2 * ({batches} / 20)) = {batches} / 20 / 2 * 2 AS rare,
    now() - ({batches} - b) * (interval '365 days' / {batches}) AS at
  FROM generate_series(%s::bigint, %s::bigint) b
) AS made
"""
# Every batch has the same content: PostgreSQL cannot write zstd frames, and reading them costs the same.
PAYLOADS = """
INSERT INTO lake_payloadpart (batch_id, media_type, query, size, frames, content)
SELECT b, 'application/x-ndjson', '', %(size)s, '{{}}', %(content)s FROM generate_series(%(first)s::bigint, %(last)s::bigint) b
"""
LINE = json.dumps(
    {
        "_type": "conversation",
        "_schema_version": "1.0.0",
        "_event_at": "2026-01-01T00:00:00Z",
        "_nature": "evidence",
        "_vendor_ids": {"conversation_id": "g0000001"},
        "_product_id": "prod-abc",
        "_project_ids": ["project-0"],
        "_thread_id": "thread-0",
        "_tags": ["tag-0"],
        "data": {"messages": [{"sender": "user", "text": "invoice " * 8}]},
    },
    separators=(",", ":"),
).encode()
RECORDS = """
INSERT INTO lake_record (id, workspace_id, batch_id, version, event_at, first_accepted_at, updated_at, terms, thread_term, vendor_term,
  digest, body_offset, body_size)
SELECT gen_random_uuid(), r.w, r.b, 1, date_trunc('second', r.at - r.u * interval '30 days'),
  r.at, r.at + interval '1 second',
  array_remove(ARRAY[project.term, tag.term, participant.term, rare.term, type.term, product.term], NULL), thread.term,
  hashint8extended(r.n, 9),
  substring(sha256(int8send(r.n)), 1, 16), (r.n - 1) %% {per_batch} * {line}, {line} - 1
FROM (
  SELECT n, b.id AS b, b.workspace_id AS w, b.created_at AS at, (hashint8extended(n, 2) & 1048575) / 1048576.0 AS u,
    ((hashint8extended(n, 3) & 1048575) / 1048576.0) ^ 2 AS skewed, ((hashint8extended(n, 4) & 1048575) / 1048576.0) ^ 2
    AS skewed_too, n %% ({records} / 40) = 7 AS rare,
    CASE WHEN n %% ({records} / 40) = 7 THEN 'spreadsheet' ELSE b.type END AS type
  FROM generate_series(%s::bigint, %s::bigint) n JOIN ingest_batch b ON b.id = 1 + (n - 1) / {per_batch}
) AS r
JOIN bench_term project ON project.workspace_id = r.w AND project.kind = 'project'
  AND project.number = floor(r.skewed * CASE WHEN r.w = 1 THEN {large[project]} ELSE {small[project]} END)::int
JOIN bench_term thread ON thread.workspace_id = r.w AND thread.kind = 'thread'
  AND thread.number = floor(r.skewed_too * CASE WHEN r.w = 1 THEN {large[thread]} ELSE {small[thread]} END)::int
JOIN bench_term tag ON tag.workspace_id = r.w AND tag.kind = 'tag'
  AND tag.number = floor(r.skewed * CASE WHEN r.w = 1 THEN {large[tag]} ELSE {small[tag]} END)::int
JOIN bench_term participant ON participant.workspace_id = r.w AND participant.kind = 'participant'
  AND participant.number = floor(r.skewed_too * CASE WHEN r.w = 1 THEN {large[participant]} ELSE {small[participant]} END)::int
JOIN bench_term type ON type.workspace_id = r.w AND type.kind = 'type' AND type.name = r.type
JOIN bench_term product ON product.workspace_id = r.w AND product.kind = 'product'
LEFT JOIN bench_term rare ON r.rare AND rare.workspace_id = r.w AND rare.kind = 'rare'
"""
# Only a superuser may set these (auto_explain), unless they are granted.
PLAN_SETTINGS = {
    "auto_explain.log_level": "notice",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_parameter_max_length": "0",
}
FILLED = ("ingest_batch", "lake_record", "lake_payloadpart")


@dataclass(frozen=True)
class Grown:
    """A filled database. ``seconds``: the time for filling it, including indexes and vacuum."""

    dsn: str
    records: int
    seconds: float

    @property
    def batches(self) -> int:
        """The number of batches; each has ten records."""
        return self.records // RECORDS_PER_BATCH


def records_wanted() -> int:
    """Returns the full size: EVERMUSE_BENCH_RECORDS."""
    return int(os.environ.get("EVERMUSE_BENCH_RECORDS") or 10_000_000)


def name_of(kind: str, number: int) -> str:
    """Returns the name of a project, thread, tag or participant."""
    return f"{kind}-{number}"


def grow(stack: BenchStack, name: str, records: int) -> Grown:
    """Makes a new database on the benchmark's server, migrates it and fills it."""
    stack.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    stack.execute(f"CREATE DATABASE {name}")
    dsn = stack.dsn.rsplit("/", 1)[0] + f"/{name}"
    stack.manage("migrate", "--noinput", "--verbosity", "0", DATABASE_URL=dsn)
    began = time.perf_counter()
    with psycopg.connect(stack.superuser_url(name), autocommit=True) as connection:
        # For loading only: no checks of foreign keys, no wait for the disk after each slice, memory for building indexes.
        connection.execute("SET session_replication_role = replica")
        # Each slice is planned with its own bounds; a generic plan would go row by row.
        connection.prepare_threshold = None
        connection.execute("SET synchronous_commit = off")
        connection.execute("SET maintenance_work_mem = '512MB'")
        connection.execute("SET work_mem = '64MB'")
        _vocabulary(connection)
        rebuild = _drop_indexes(connection)
        _in_slices(connection, BATCHES, records // RECORDS_PER_BATCH, records)
        # The joins for the records need current statistics.
        connection.execute("ANALYZE ingest_batch")
        _in_slices(connection, RECORDS, records, records)
        _payloads(connection, records // RECORDS_PER_BATCH)
        for statement in rebuild:
            connection.execute(statement.encode())
        connection.execute("SELECT setval(pg_get_serial_sequence('ingest_batch', 'id'), max(id)) FROM ingest_batch")
        for table in FILLED:
            connection.execute(f"VACUUM (ANALYZE) {table}".encode())
        connection.execute("CHECKPOINT")
        _allow_plans(connection, name, role=psycopg.conninfo.conninfo_to_dict(dsn)["user"])
        found = connection.execute("SELECT count(*) FROM lake_record").fetchone()
        assert found == (records,), found
    return Grown(dsn, records, time.perf_counter() - began)


def _allow_plans(connection: psycopg.Connection, database: str, *, role: Any) -> None:
    """Lets a role log the plans of its statements in later sessions. Until it does, nothing is measured differently."""
    connection.execute("LOAD 'auto_explain'")
    connection.execute(f"ALTER DATABASE {database} SET session_preload_libraries = 'auto_explain'".encode())
    for parameter in PLAN_SETTINGS:
        connection.execute(f"GRANT SET ON PARAMETER {parameter} TO {role}".encode())


def _vocabulary(connection: psycopg.Connection) -> None:
    connection.execute(WORKSPACE.encode(), [WORKSPACES])
    connection.execute(CLOCKS.encode())
    connection.execute(VOCABULARY.encode())
    with connection.cursor() as cursor, cursor.copy("COPY bench_term FROM STDIN") as copy:
        for workspace in range(1, WORKSPACES + 1):
            for kind, size in (LARGE if workspace == 1 else OTHERS).items():
                for number in range(size):
                    name = name_of(kind, number)
                    copy.write_row((workspace, kind, number, name, terms.term(workspace, kind, name)))
            for number, name in enumerate(("conversation", "email", "document", "spreadsheet")):
                copy.write_row((workspace, "type", number, name, terms.term(workspace, "type", name)))
            copy.write_row((workspace, "product", 0, "prod-abc", terms.term(workspace, "product", "prod-abc")))
            copy.write_row((workspace, "rare", 0, RARE_TAG, terms.term(workspace, "tag", RARE_TAG)))
    connection.execute("ANALYZE bench_term")


def _drop_indexes(connection: psycopg.Connection) -> list[str]:
    """Drops indexes; returns the statements that make them again. Keeps the batches' primary key, which others refer to."""
    rows = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY(%s) AND indexname NOT LIKE %s",
        [list(FILLED), r"%\_pkey"],
    ).fetchall()
    for name, _ in rows:
        connection.execute(f'DROP INDEX "{name}"'.encode())
    connection.execute("ALTER TABLE lake_record DROP CONSTRAINT lake_record_pkey")
    return [definition for _, definition in rows] + ["ALTER TABLE lake_record ADD PRIMARY KEY (id)"]


def _payloads(connection: psycopg.Connection, count: int) -> None:
    body = (LINE + b"\n") * RECORDS_PER_BATCH
    content, ends = frames.pack(body)
    assert not ends
    for first in range(1, count + 1, SLICE):
        last = min(count, first + SLICE - 1)
        connection.execute(
            PAYLOADS.replace("{{}}", "{}").encode(),
            {"size": len(body), "content": content, "first": first, "last": last},
        )


def _in_slices(connection: psycopg.Connection, statement: str, count: int, records: int) -> None:
    ready = statement.format(
        records=records, batches=records // RECORDS_PER_BATCH, per_batch=RECORDS_PER_BATCH, others=WORKSPACES - 1,
        large=LARGE, small=OTHERS, line=len(LINE) + 1,
    )  # fmt: skip
    for first in range(1, count + 1, SLICE):
        connection.execute(ready.encode(), [first, min(count, first + SLICE - 1)])
