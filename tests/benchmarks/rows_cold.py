"""Rows for reads after the payloads are deleted, compared with the same reads while PostgreSQL has them."""

import json
import random
import statistics
import time

import requests

from tests.benchmarks import data
from tests.benchmarks.http_load import post, send
from tests.benchmarks.measure import Row
from tests.benchmarks.rows_accept import INGEST, NDJSON
from tests.benchmarks.rows_pipeline import IS_UNSETTLED
from tests.benchmarks.stack import WEB_PORT, BenchStack

RECORDS = 100_000
PAGES, RUNS = 200, 3
RECORDS_URL = f"http://127.0.0.1:{WEB_PORT}/api/v1/records"
# The second workspace keeps its payloads, so hot and cold reads alternate.
DROP = "DELETE FROM lake_payloadpart p USING ingest_batch b WHERE b.id = p.batch_id AND b.workspace_id = {}"


def read_cold(stack: BenchStack) -> list[Row]:
    """Reads from a hot and a cold workspace with the same number of records. Each run starts a new web process."""
    page = Row("read-cold-page", "1/s (inverse of the 95th percentile)", 1 / 3, note="limit: the same page, hot")
    export = Row("read-cold-export", "records/s", 0.5, note="limit: the same export, hot")
    with stack.running("web", "worker-landing", "beat"):
        keys = {"limit": stack.new_key(), "ours": stack.new_key()}
        for key in keys.values():
            bodies = [post(INGEST, data.ndjson(1000), key, NDJSON) for _ in range(RECORDS // 1000)]
            send(WEB_PORT, bodies.pop, total=len(bodies), connections=4, status=202)
            stack.until(IS_UNSETTLED, False)
        cursors = {name: _cursors(key) for name, key in keys.items()}
    cold = int(stack.value("SELECT max(workspace_id) FROM ingest_batch"))
    stack.execute(DROP.format(cold))
    stack.execute("VACUUM ANALYZE lake_payloadpart")
    for run in range(RUNS):
        with stack.running("web"):
            pages: dict[str, float] = {}
            exports: dict[str, float] = {}
            for name in sorted(keys, reverse=bool(run % 2)):
                pages[name] = 1 / _page_p95(keys[name], cursors[name])
            for name in sorted(keys, reverse=bool(run % 2)):
                exports[name] = RECORDS / _export_seconds(keys[name])
            page.runs.append(pages)
            export.runs.append(exports)
    for row in (page, export):
        middle = sorted(row.runs, key=lambda run: run["ours"] / run["limit"])[len(row.runs) // 2]
        row.ours, row.limit, row.ratio = middle["ours"], middle["limit"], middle["ours"] / middle["limit"]
    return [page, export]


def _cursors(key: str) -> list[str]:
    """Returns the cursors of pages all over the workspace."""
    found: list[str] = []
    cursor: str | None = None
    with requests.Session() as session:
        while True:
            parameters = {"limit": "100"} | ({"cursor": cursor} if cursor else {})
            answer = session.get(RECORDS_URL, params=parameters, headers={"x-api-key": key}, timeout=60)
            answer.raise_for_status()
            cursor = json.loads(answer.content)["nextCursor"]
            if cursor is None:
                return found
            found.append(cursor)


def _page_p95(key: str, cursors: list[str]) -> float:
    times: list[float] = []
    with requests.Session() as session:
        for cursor in random.Random(PAGES).sample(cursors[:-1], PAGES):
            began = time.perf_counter()
            answer = session.get(
                RECORDS_URL, params={"limit": "20", "cursor": cursor}, headers={"x-api-key": key}, timeout=60
            )
            times.append(time.perf_counter() - began)
            assert len(answer.json()["records"]) == 20
    return statistics.quantiles(times, n=20)[-1]


def _export_seconds(key: str) -> float:
    began = time.perf_counter()
    count = 0
    with requests.get(RECORDS_URL, headers={"x-api-key": key, "Accept": NDJSON}, stream=True, timeout=120) as answer:
        for chunk in answer.iter_content(1024 * 1024):
            count += chunk.count(b"\n")
    assert count == RECORDS, count
    return time.perf_counter() - began
