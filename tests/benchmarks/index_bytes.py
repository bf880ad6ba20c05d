"""`python -m tests.benchmarks.index_bytes FILE [COPIES]`: PostgreSQL's bytes per record of the index, by table and index.

Lands the records of an NDJSON file (also .gz) in batches of 100, as a worker does. More copies of the file come with new ids
and texts. Neither retention nor compaction changes a row of the index, so they are left out.
"""

import gzip
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from deploy.local.embedded import running_servers
from tests.guard import Guard
from tests.journeys.stack import ROOT

BATCH = 100
SIZES = """
SELECT c.relname, pg_relation_size(c.oid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = 'lake_record'::regclass
UNION ALL SELECT 'lake_record', pg_relation_size('lake_record')
UNION ALL SELECT 'maps and TOAST', pg_table_size('lake_record') - pg_relation_size('lake_record')
UNION ALL SELECT 'all', pg_total_relation_size('lake_record') ORDER BY 2 DESC
"""


def main(path: Path, copies: int) -> None:
    """Prints the sizes."""
    root = Path(tempfile.mkdtemp(prefix="evermuse-bytes-"))
    guard = Guard(root)
    try:
        with running_servers(root / "servers") as servers:
            os.environ.update(
                servers.environment | {"EVERMUSE_HOME": str(root), "DJANGO_SETTINGS_MODULE": "evermuse.settings"}
            )
            os.chdir(ROOT)
            _measure(path, copies)
    finally:
        guard.close()


def _measure(path: Path, copies: int) -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client

    from ingest.clients import api_keys, workspaces
    from ingest.pipeline import landing

    call_command("migrate", verbosity=0)
    workspace = workspaces.ensure(name="bytes", products=[("prod-abc", ["proj-123"])])
    client = Client(headers={"x-api-key": api_keys.create(workspace=workspace, label="bytes", rate_limit=0).secret})
    for body in _bodies(path, copies):
        answer = client.post("/api/v1/ingest", body, content_type="application/x-ndjson")
        assert answer.status_code == 202, answer.content
        landing.land_waiting()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE lake_record")
        cursor.execute("SELECT count(*) FROM lake_record")
        count = cursor.fetchone()[0]
        cursor.execute(SIZES)
        console = Console(width=100)
        console.print(f"{count} records")
        for name, size in cursor.fetchall():
            console.print(f"{name:30} {size / count:8.1f} bytes per record")


def _bodies(path: Path, copies: int) -> Iterator[bytes]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        lines = file.read().splitlines()
    for copy in range(copies):
        changed = lines if not copy else [_renamed(line, copy) for line in lines]
        for start in range(0, len(changed), BATCH):
            yield b"\n".join(changed[start : start + BATCH])


def _renamed(line: bytes, copy: int) -> bytes:
    record = json.loads(line)
    record["_vendor_ids"] = {key: f"{value}-{copy}" for key, value in record["_vendor_ids"].items()}
    record["_thread_id"] = f"{record['_thread_id']}-{copy}"
    record["data"]["copy"] = copy
    return json.dumps(record).encode()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int((*sys.argv[2:], "1")[0]))
