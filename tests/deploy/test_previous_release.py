"""The length of a roll: the previous code runs on the new schema, and the new code on the previous schema."""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy.local.embedded import Servers
from tests.journeys.stack import ROOT

DATABASE = "roll"
# Sends a batch by Django's client, lands it as a worker does, and reads it back.
TRIAL = """
import json
from django.core.management import call_command
from django.test import Client
from django.utils.crypto import get_random_string
from ingest.clients import api_keys, workspaces
from ingest.pipeline import landing
name = get_random_string(12)
workspace = workspaces.ensure(name=name, products=[("prod-abc", ["proj-123"])])
key = api_keys.create(workspace=workspace, label="trial", rate_limit=0).secret
record = {"_type": "message", "_schema_version": "1.0.0", "_event_at": "2026-01-31T12:00:00Z", "_vendor_ids": {"id": name},
          "_product_id": "prod-abc", "_project_ids": ["proj-123"], "data": {"n": 1}}
client = Client(headers={"x-api-key": key})
answer = client.post("/api/v1/ingest", json.dumps([record]), content_type="application/json")
landing.land_waiting()
batch = client.get("/api/v1/ingest/batches/" + answer.json()["batchId"]).json()
rows = client.get("/api/v1/records").json().get("records", [])
print(json.dumps({"posted": answer.status_code, "status": batch["status"], "records": len(rows)}))
"""


def git(*words: str) -> bytes:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else b""


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """The code before the last migration: a release that is being replaced has at least this schema."""
    last = git("log", "-1", "--format=%H", "--diff-filter=A", "--", "*/migrations/0*.py").decode().strip()
    content = git("archive", f"{last}^") if last else b""
    if not content:
        pytest.skip("git has no commit before the last migration here: clone with the whole history")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(tmp_path / "previous", filter="data")
    return tmp_path / "previous"


@pytest.fixture
def database(servers: Servers) -> Iterator[str]:
    address = servers.environment["DATABASE_URL"].rpartition("/")[0]
    with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)".encode())
        connection.execute(f"CREATE DATABASE {DATABASE}".encode())
        yield f"{address}/{DATABASE}"
        connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)".encode())


def manage(code: Path, database: str, *words: str) -> str:
    """Runs a command of one of the two codes."""
    environment = {name: value for name, value in os.environ.items() if name not in ("EVERMUSE_APPS", "PYTHONPATH")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "manage.py", *words],
        cwd=code, env={**environment, "DATABASE_URL": database}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{code.name} {words[0]}: {done.stderr[-2000:]}"
    return done.stdout


def trial(code: Path, database: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(manage(code, database, "shell", "--no-imports", "-c", TRIAL).splitlines()[-1])
    return found


def finishes_transition(database: str) -> bool:
    """Drops columns that only the previous code needs, as the product does an hour after the migration.

    False if the previous code has the new columns.
    """
    with psycopg.connect(database) as connection:
        if not connection.execute("UPDATE lake_indextransition SET ends_at = now()").rowcount:
            return False
    done = manage(
        ROOT, database, "shell", "-v", "0", "-c", "from lake import index_layout; print(index_layout.complete())"
    )
    assert done.splitlines()[-1] == "True"
    return True


def test_both_codes_accept_and_land_on_both_schemas(previous: Path, database: str) -> None:
    whole = {"posted": 202, "status": "COMPLETE", "records": 1}
    manage(previous, database, "migrate", "--noinput", "--verbosity", "0")
    assert trial(previous, database) == whole
    # A worker that does not fit pauses and fails no batch; requests are accepted in any case.
    early = trial(ROOT, database)
    assert early["posted"] == 202
    assert early["status"] in ("COMPLETE", "LANDING")
    manage(ROOT, database, "migrate", "--noinput", "--verbosity", "0")
    assert trial(previous, database) == whole
    assert trial(ROOT, database) == whole
    if finishes_transition(database):
        # What a worker of the previous code cannot land stays for one of the new code.
        late = trial(previous, database)
        assert (late["posted"], late["status"], late["records"]) == (202, "LANDING", 0)
        assert trial(ROOT, database) == whole
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM ingest_batch WHERE status = 'FAILED'").fetchone() == (0,)
