"""Rows for draining a backlog, and for the landing workers' memory."""

import time
from pathlib import Path

from deploy.local.child import Child
from tests.benchmarks import data
from tests.benchmarks.grown import records_wanted
from tests.benchmarks.http_load import Outcome, post, send
from tests.benchmarks.measure import Row, conclude
from tests.benchmarks.rows_accept import INGEST, NDJSON
from tests.benchmarks.rows_pipeline import IS_UNSETTLED
from tests.benchmarks.stack import WEB_PORT, BenchStack

WAITING_BATCHES, EMPTY_BATCHES, PACED_REQUESTS = 20_000, 1000, 400
# Batches per second among those after an id, from the first landing to the last completion.
RATE = """
SELECT (count(*) / extract(epoch FROM max(completed_at) - min({begin})))::float8
FROM ingest_batch WHERE id > %s AND id <= %s AND status = 'COMPLETE'
"""
WAITING = "SELECT count(*) FROM ingest_batch WHERE status = 'LANDING'"
LAST = "SELECT coalesce(max(id), 0) FROM ingest_batch"
WORKER = ("worker-landing", "beat")


def backlog(stack: BenchStack) -> list[Row]:
    """The rate at which 20,000 waiting batches of one record drain, and the speed of accepting a batch meanwhile."""
    drain = Row("backlog-drain", "batches/s", 1.0)
    drain.note = (
        f"limit: {EMPTY_BATCHES} batches sent to an empty system, from the first POST until the last is COMPLETE"
    )
    tail = Row("backlog-accept-p99", "1/s (inverse of the 99th percentile)", 1 / 3)
    tail.note = "paced, about 100 requests/s over 4 connections; limit: the same while nothing waits, workers running"
    with stack.running("web"):
        key = stack.new_key()
        for turn in range(4):
            with stack.running(*WORKER):
                empty, idle = _empty_rate(stack, key), _paced(key)
                stack.until(IS_UNSETTLED, False)
            draining, busy = _drain(stack, key)
            if turn:  # the first turn is a warm-up
                drain.runs.append({"limit": empty, "ours": draining})
                tail.runs.append({"limit": 1 / idle.p99, "ours": 1 / busy.p99})
    return [conclude(drain), conclude(tail)]


def _empty_rate(stack: BenchStack, key: str) -> float:
    before = stack.value(LAST)
    _send(key, EMPTY_BATCHES)
    stack.until(IS_UNSETTLED, False)
    return float(stack.value(RATE.format(begin="created_at"), before, stack.value(LAST)))


def _drain(stack: BenchStack, key: str) -> tuple[float, Outcome]:
    """Accepts batches while no worker runs, then lands them while a few more are accepted."""
    before = stack.value(LAST)
    _send(key, WAITING_BATCHES)
    last = stack.value(LAST)
    assert stack.value(WAITING) == WAITING_BATCHES
    with stack.running(*WORKER, settle=0):
        while stack.value(WAITING) > WAITING_BATCHES - 100:
            time.sleep(0.01)
        busy = _paced(key)
        # There must have been a backlog until the end of the measurement.
        assert stack.value(f"{WAITING} AND id <= {last}") > 0, "the backlog was gone before its requests were"
        stack.until(IS_UNSETTLED, False)
    return float(stack.value(RATE.format(begin="landed_at"), before, last)), busy


def _send(key: str, count: int) -> None:
    bodies = [post(INGEST, data.record(), key, NDJSON) for _ in range(count)]
    send(WEB_PORT, bodies.pop, total=count, connections=16, status=202)


def _paced(key: str) -> Outcome:
    bodies = [post(INGEST, data.record(), key, NDJSON) for _ in range(PACED_REQUESTS)]
    return send(WEB_PORT, bodies.pop, total=PACED_REQUESTS, connections=4, status=202, pause=0.036)


def worker_memory(stack: BenchStack) -> list[Row]:
    """The memory of the landing worker's processes after a fifth of 1,000 batches of 1,000 records, and after all."""
    batches = max(10, min(1000, records_wanted() // 1000))
    row = Row("worker-memory", "1/GB (inverse of the processes' memory)", 0.95)
    row.note = f"PSS of the landing children: limit after {batches // 5}, ours after {batches} batches of 1,000 records"
    with stack.running("web", *WORKER) as children:
        key = stack.new_key()
        sizes = []
        for count in (batches // 5, batches - batches // 5):
            for start in range(0, count, 20):
                bodies = [post(INGEST, data.ndjson(1000), key, NDJSON) for _ in range(min(20, count - start))]
                send(WEB_PORT, bodies.pop, total=len(bodies), connections=4, status=202)
                # Records land as fast as they are made here, because a backlog would measure something else.
                stack.until(IS_UNSETTLED, False)
            sizes.append(_memory(children["worker-landing"]))
    row.runs.append({"limit": 1024 / sizes[0], "ours": 1024 / sizes[1]})
    row.note += f": {sizes[0]:.1f} MB and {sizes[1]:.1f} MB"
    return [conclude(row)]


def _memory(worker: Child) -> float:
    """Returns megabytes of a worker's children; shared pages count in proportion."""
    assert worker.pid is not None
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    assert children, "the worker has no children"
    total = 0
    for pid in children:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024
