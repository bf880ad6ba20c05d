"""`python -m tests.journeys.client_run N`: `evermuse send` of N records while everything is killed, and the exact sums.

The client is killed 20 times, a process of the server 5 times, and the client's state is deleted twice. It ends with 1 unless
every record is stored once, at version 1, and no client gave up by itself.
"""

import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from deploy.local.embedded import running_servers
from tests.guard import Guard
from tests.journeys.evermuse_command import Evermuse

CLIENT_KILLS, SERVER_KILLS, STATE_LOSSES = 20, 5, 2
TYPES = ("message", "email", "call")


def write(path: Path, count: int) -> None:
    """A file of records of about 500 bytes."""
    with path.open("w") as file:
        for number in range(count):
            made = {
                "_type": TYPES[number % 3], "_schema_version": "1.0.0", "_event_at": "2026-03-01T00:00:00Z",
                "_vendor_ids": {"run": f"r{number}"}, "_product_id": "prod-abc", "_project_ids": ["proj-123"],
                "data": {"text": f"{number} " * 40},
            }  # fmt: skip
            file.write(json.dumps(made) + "\n")


def main(count: int) -> int:
    """The exit code."""
    root = Path(tempfile.mkdtemp(prefix="evermuse-run-"))
    guard = Guard(root)
    try:
        with running_servers(root / "servers") as servers:
            os.environ.update(servers.environment | {"EVERMUSE_SECRET_KEY": "run-" + "0" * 50})
            from tests.journeys.stack import NAMES, Stack, until

            stack = Stack(servers, root / "stack")
            stack.start(*NAMES)
            until(stack.is_up, "the stack is up")
            try:
                return _run(stack, root, count)
            finally:
                stack.stop_all()
    finally:
        guard.close()


def _run(stack: "object", root: Path, count: int) -> int:
    from tests.journeys.stack import Stack, until

    assert isinstance(stack, Stack)
    client = stack.new_client()
    evermuse = Evermuse(client, root)
    path = root / "records.ndjson"
    write(path, count)
    accepted = (
        "SELECT coalesce(sum(accepted_count), 0)::bigint FROM ingest_batch b "
        "JOIN ingest_workspace w ON w.id = b.workspace_id WHERE w.name = %s"
    )
    began = time.monotonic()
    failures: list[int] = []
    for kill in range(CLIENT_KILLS):
        sending = evermuse.start("send", path)
        before = stack.rows(accepted, client.workspace)[0][0]
        wanted = before + random.randint(1, max(1, count // (CLIENT_KILLS + 4)))

        def is_far(wanted: int = wanted, sending: "object" = sending) -> bool:
            return stack.rows(accepted, client.workspace)[0][0] >= wanted or sending.poll() is not None  # type: ignore[attr-defined]

        until(is_far, "more records were accepted", seconds=300)
        if sending.poll():
            failures.append(sending.returncode)
        sending.kill()
        sending.communicate()
        if kill % (CLIENT_KILLS // SERVER_KILLS) == 1:
            stack.kill(random.choice(("web", "worker-landing")))
        if kill in (CLIENT_KILLS // 3, 2 * CLIENT_KILLS // 3)[:STATE_LOSSES]:
            shutil.rmtree(root / "config", ignore_errors=True)
        print(f"killed {kill + 1}: {stack.rows(accepted, client.workspace)[0][0]:,} accepted", flush=True)  # noqa: T201
    counts = evermuse.counts(path, "--wait")
    rows = stack.rows(
        "SELECT r.version, count(*) FROM lake_record r JOIN ingest_workspace w ON w.id = r.workspace_id "
        "WHERE w.name = %s GROUP BY 1",
        client.workspace,
    )
    is_exact = (
        dict(rows) == {1: count} and counts["read"] == count == counts["accepted"] + counts["current"] and not failures
    )
    kept = {name: counts[name] for name in ("read", "accepted", "current", "replaced", "rejected")}
    told = {"seconds": round(time.monotonic() - began), "versions": dict(rows), **kept, "failures": failures}
    print(json.dumps(told | {"exact": is_exact}))  # noqa: T201
    return 0 if is_exact else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
