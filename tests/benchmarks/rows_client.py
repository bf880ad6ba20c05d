"""Rows of the client: sending a file, and exporting, beside the plainest program that does the same.

Both sides are processes, measured from their start to their end: `evermuse` reads, checks, groups and records what it sends;
the limit (`tests.benchmarks.raw_client`) has its bodies split beforehand, and neither checks nor remembers.
"""

import gzip
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks import data
from tests.benchmarks.measure import Row, by_turns, per_second
from tests.benchmarks.raw_client import AT_ONCE
from tests.benchmarks.stack import ROOT, WEB_PORT, BenchStack

RECORDS, BATCH = 100_000, 1000
LANDED = "SELECT count(*) FROM lake_record r JOIN ingest_workspace w ON w.id = r.workspace_id WHERE w.name = %s"


def client_send(stack: BenchStack) -> list[Row]:
    """`evermuse send` of 100,000 records, from the start of the process to its end."""
    row = Row("client-send", "records/s", 0.9)
    row.note = (
        "limit: an asynchronous sender as a process, of the same bodies, split beforehand; it compresses as it sends"
    )
    packed_row = Row("client-send-packed", "records/s", 0.0)
    packed_row.note = "limit: the same, with bodies that were compressed beforehand"
    with tempfile.TemporaryDirectory(prefix="evermuse-bench-") as directory, stack.running("web"):
        path, plain, packed = (Path(directory, name) for name in ("records.ndjson", "plain", "packed"))
        with path.open("wb") as file:
            file.writelines(_write_bodies(plain, RECORDS))
        packed.mkdir()
        for body in plain.iterdir():
            (packed / body.name).write_bytes(gzip.compress(body.read_bytes(), 1))

        def ours() -> float:
            environment = _environment(stack, directory)
            return per_second(RECORDS, lambda: _run(environment, "send", str(path), "--concurrency", str(AT_ONCE)))

        def limit() -> float:
            environment = _environment(stack, directory)
            return per_second(RECORDS, lambda: _run_raw(environment, "send", str(plain)))

        def packed_limit() -> float:
            environment = _environment(stack, directory)
            return per_second(RECORDS, lambda: _run_raw(environment, "send", str(packed), "packed"))

        return [
            by_turns(row, ours=ours, limit=limit, runs=3),
            by_turns(packed_row, ours=ours, limit=packed_limit, runs=3),
        ]


def client_export(stack: BenchStack) -> list[Row]:
    """`evermuse export` of 50,000 records into a file."""
    row = Row("client-export", "records/s", 0.9)
    row.note = "limit: a process that reads the same records as one stream, and writes them as they come"
    count = RECORDS // 2
    with tempfile.TemporaryDirectory(prefix="evermuse-bench-") as directory:
        environment = _environment(stack, directory, workspace="bench-export")
        with stack.running("web", "worker-landing"):
            bodies = Path(directory, "bodies")
            _write_bodies(bodies, count)
            _run_raw(environment, "send", str(bodies))
            stack.until(LANDED, count, "bench-export")
        with stack.running("web"):

            def ours() -> float:
                state, copy = (Path(directory, f"{name}-{time.monotonic_ns()}") for name in ("state", "copy"))
                words = ("export", "--state", str(state), "--output", str(copy))
                rate = per_second(count, lambda: _run(environment, *words))
                assert _lines(copy) == count
                return rate

            def limit() -> float:
                copy = Path(directory, f"limit-{time.monotonic_ns()}")
                rate = per_second(count, lambda: _run_raw(environment, "stream", str(copy)))
                assert _lines(copy) == count
                return rate

            return [by_turns(row, ours=ours, limit=limit, runs=3)]


def _write_bodies(directory: Path, count: int) -> list[bytes]:
    """Writes a file for each batch, and returns their contents."""
    directory.mkdir()
    bodies = [data.ndjson(BATCH).rstrip(b"\n") + b"\n" for _ in range(count // BATCH)]
    for number, body in enumerate(bodies):
        (directory / f"{number:06}").write_bytes(body)
    return bodies


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _environment(stack: BenchStack, directory: str, *, workspace: str | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EVERMUSE_")}
    return kept | {
        "EVERMUSE_URL": f"http://127.0.0.1:{WEB_PORT}",
        "EVERMUSE_API_KEY": stack.new_key(workspace=workspace),
        "EVERMUSE_CONFIG": str(Path(directory, f"config-{time.monotonic_ns()}")),
        "PYTHONPATH": str(ROOT),
    }


def _run(environment: dict[str, str], *words: str, module: str = "evermuse.client") -> None:
    subprocess.run([sys.executable, "-m", module, *words], env=environment, check=True, capture_output=True)


def _run_raw(environment: dict[str, str], *words: str) -> None:
    _run(environment, *words, module="tests.benchmarks.raw_client")
