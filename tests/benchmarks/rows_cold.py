"""Rows for reads after the payloads are deleted, compared with the same reads while PostgreSQL has them."""

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
PAGES, RUNS, EXPORTS = 200, 3, 2
RECORDS_URL = f"http://127.0.0.1:{WEB_PORT}/api/v1/records"
# The instants of a workspace's landings, as a query takes them.
LANDINGS = """
SELECT array_agg(at) FROM (
  SELECT DISTINCT to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at
  FROM lake_record WHERE workspace_id = %s ORDER BY 1
) AS found
"""
# The second workspace keeps its payloads, so hot and cold reads alternate.
DROP = "DELETE FROM lake_payloadpart p USING ingest_batch b WHERE b.id = p.batch_id AND b.workspace_id = {}"


def read_cold(stack: BenchStack) -> list[Row]:
    """Two workspaces with the same number of records: one hot, one cold. Each run starts new web processes.

    Pages are read without a cache of blocks, so that each of them is cold. The export has the cache, as it does in use.
    """
    page = Row("read-cold-page", "1/s (inverse of the 95th percentile)", 1 / 3, note="limit: the same page, hot")
    export = Row("read-cold-export", "records/s", 0.5, note="limit: the same export, hot")
    with stack.running("web", "worker-landing", "beat"):
        keys = {"limit": stack.new_key(), "ours": stack.new_key()}
        for key in keys.values():
            bodies = [post(INGEST, data.ndjson(1000), key, NDJSON) for _ in range(RECORDS // 1000)]
            send(WEB_PORT, bodies.pop, total=len(bodies), connections=4, status=202)
            stack.until(IS_UNSETTLED, False)
        hot, cold = (int(stack.value(f"SELECT {which}(workspace_id) FROM ingest_batch")) for which in ("min", "max"))
        starts = {name: _starts(keys[name], stack, of) for name, of in (("limit", hot), ("ours", cold))}
    stack.execute(DROP.format(cold))
    stack.execute("VACUUM ANALYZE lake_payloadpart")
    for run in range(RUNS):
        turns = sorted(keys, reverse=bool(run % 2))
        with stack.running("web", EVERMUSE_SEGMENT_CACHE_BYTES="0"):
            page.runs.append({name: 1 / _page_p95(keys[name], starts[name]) for name in turns})
        if run < EXPORTS:
            with stack.running("web"):
                export.runs.append({name: RECORDS / _export_seconds(keys[name]) for name in turns})
    for row in (page, export):
        # The median, or the worse one of two.
        middle = sorted(row.runs, key=lambda run: run["ours"] / run["limit"])[(len(row.runs) - 1) // 2]
        row.ours, row.limit, row.ratio = middle["ours"], middle["limit"], middle["ours"] / middle["limit"]
    return [page, export]


def _starts(key: str, stack: BenchStack, workspace_id: int) -> list[dict[str, str]]:
    """Queries of pages all over the workspace: some pages of each of its landings."""
    instants = stack.value(LANDINGS, workspace_id)
    each = -(-PAGES // len(instants)) + 1
    found: list[dict[str, str]] = []
    with requests.Session() as session:
        for instant in instants:
            query = {"changed_since": instant}
            for _ in range(each):
                answer = session.get(
                    RECORDS_URL, params={**query, "limit": "100"}, headers={"x-api-key": key}, timeout=60
                )
                answer.raise_for_status()
                following = answer.json()["nextCursor"]
                if following is None:
                    break
                query = {"changed_since": instant, "cursor": following}
                found.append(query)
    # The last page may have fewer records.
    return found[:-1]


def _page_p95(key: str, starts: list[dict[str, str]]) -> float:
    times: list[float] = []
    with requests.Session() as session:
        for query in random.Random(PAGES).sample(starts, min(PAGES, len(starts))):
            began = time.perf_counter()
            answer = session.get(RECORDS_URL, params={**query, "limit": "20"}, headers={"x-api-key": key}, timeout=60)
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
