"""Rows of the client: sending a file, and exporting, beside the plainest program that does the same."""

import asyncio
import gzip
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from tests.benchmarks import data
from tests.benchmarks.measure import Row, by_turns, per_second
from tests.benchmarks.stack import ROOT, WEB_PORT, BenchStack

RECORDS, BATCH, AT_ONCE = 100_000, 1000, 6
URL = f"http://127.0.0.1:{WEB_PORT}"
LANDED = "SELECT count(*) FROM lake_record"


def client_send(stack: BenchStack) -> list[Row]:
    """`evermuse send` of 100,000 records, from the start of the process to its end."""
    row = Row("client-send", "records/s", 0.9)
    row.note = "limit: an asynchronous sender of the same bodies, split beforehand, which compresses as it sends"
    packed_row = Row("client-send-packed", "records/s", 0.0)
    packed_row.note = "limit: the same, with bodies that were compressed beforehand"
    bodies = [data.ndjson(BATCH) for _ in range(RECORDS // BATCH)]
    with tempfile.TemporaryDirectory(prefix="evermuse-bench-") as directory, stack.running("web"):
        path = Path(directory, "records.ndjson")
        path.write_bytes(b"\n".join(body.rstrip(b"\n") for body in bodies) + b"\n")
        packed = [gzip.compress(body, 1) for body in bodies]

        def ours() -> float:
            environment = _environment(stack, directory)
            return per_second(RECORDS, lambda: _run(environment, "send", str(path), "--concurrency", str(AT_ONCE)))

        def limit() -> float:
            key = stack.new_key()
            return per_second(RECORDS, lambda: asyncio.run(_post_all(bodies, key, compresses=True)))

        def packed_limit() -> float:
            key = stack.new_key()
            return per_second(RECORDS, lambda: asyncio.run(_post_all(packed, key)))

        return [
            by_turns(row, ours=ours, limit=limit, runs=3),
            by_turns(packed_row, ours=ours, limit=packed_limit, runs=3),
        ]


def client_export(stack: BenchStack) -> list[Row]:
    """`evermuse export` of 50,000 records into a file."""
    row = Row("client-export", "records/s", 0.9, note="limit: one stream of the same records, written as it comes")
    count = RECORDS // 2
    packed = [gzip.compress(data.ndjson(BATCH), 1) for _ in range(count // BATCH)]
    key = stack.new_key()
    with tempfile.TemporaryDirectory(prefix="evermuse-bench-") as directory:
        with stack.running("web", "worker-landing"):
            before = stack.value(LANDED)
            asyncio.run(_post_all(packed, key))
            stack.until(LANDED, before + count)
        with stack.running("web"):
            environment = _environment(stack, directory) | {"EVERMUSE_API_KEY": key}

            def ours() -> float:
                state, copy = (Path(directory, f"{name}-{time.monotonic_ns()}") for name in ("state", "copy"))
                words = ("export", "--state", str(state), "--output", str(copy))
                rate = per_second(count, lambda: _run(environment, *words))
                with copy.open("rb") as file:
                    assert sum(1 for _ in file) == count
                return rate

            def limit() -> float:
                return per_second(count, lambda: _stream(key, Path(directory, "limit")))

            return [by_turns(row, ours=ours, limit=limit, runs=3)]


def _environment(stack: BenchStack, directory: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EVERMUSE_")}
    config = str(Path(directory, f"config-{time.monotonic_ns()}"))
    return kept | {
        "EVERMUSE_URL": URL, "EVERMUSE_API_KEY": stack.new_key(), "EVERMUSE_CONFIG": config, "PYTHONPATH": str(ROOT),
    }  # fmt: skip


def _run(environment: dict[str, str], *words: str) -> None:
    subprocess.run([sys.executable, "-m", "evermuse.client", *words], env=environment, check=True, capture_output=True)


async def _post_all(bodies: list[bytes], key: str, *, compresses: bool = False) -> None:
    headers = {"x-api-key": key, "Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    waiting = iter(bodies)
    async with httpx.AsyncClient(base_url=URL, headers=headers, timeout=60) as http:

        async def work() -> None:
            for body in waiting:
                content = await asyncio.to_thread(gzip.compress, body, 1) if compresses else body
                answer = await http.post("/api/v1/ingest", content=content)
                assert answer.status_code == 202, answer.text

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))


def _stream(key: str, path: Path) -> None:
    headers = {"x-api-key": key, "Accept": "application/x-ndjson"}
    with httpx.stream("GET", f"{URL}/api/v1/records", headers=headers, timeout=60) as answer, path.open("wb") as file:
        for part in answer.iter_bytes():
            file.write(part)
