"""Rows from POST to COMPLETE, and for attachments."""

import io
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg
import requests
from django.utils.crypto import get_random_string

from deploy.local.state import BUCKET
from tests.benchmarks import data
from tests.benchmarks.http_load import post, send
from tests.benchmarks.measure import Row, by_turns, per_second
from tests.benchmarks.rows_accept import INGEST, NDJSON
from tests.benchmarks.stack import WEB_PORT, BenchStack

# Uses partial indexes: counting all batches fifty times a second would take much of a core from what is measured.
IS_UNSETTLED = """
SELECT EXISTS (SELECT FROM ingest_batch WHERE status = 'LANDING')
  OR EXISTS (SELECT FROM ingest_batch WHERE status IN ('LANDED', 'PROCESSING'))
"""
RECORDS = 50_000
COPY_TABLE = "CREATE TABLE IF NOT EXISTS bench_copied (id text PRIMARY KEY, line text NOT NULL)"


def end_to_end(stack: BenchStack) -> list[Row]:
    """Batches of 1,000 from the first POST until the last is COMPLETE, sent for the first time and sent again."""
    first = Row("end-to-end-1000", "records/s", 0.65)
    again = Row("end-to-end-1000-again", "records/s", 0.65)
    first.note = again.note = "limit: COPY into a temporary table + INSERT … ON CONFLICT DO UPDATE of the same lines"
    stack.execute(COPY_TABLE)
    bodies: list[bytes] = []
    with stack.running("web", "worker-landing", "beat"):
        key = stack.new_key()

        def ours() -> float:
            requests_ = [post(INGEST, body, key, NDJSON) for body in bodies]

            def work() -> None:
                send(WEB_PORT, requests_.pop, total=len(bodies), connections=4, status=202)
                stack.until(IS_UNSETTLED, False)

            return per_second(RECORDS, work)

        def limit() -> float:
            return per_second(RECORDS, lambda: _copy_and_upsert(stack, bodies))

        def renew() -> None:
            bodies[:] = [data.ndjson(1000) for _ in range(RECORDS // 1000)]

        renew()
        limit(), ours()
        for _ in range(3):
            renew()
            before = stack.value("SELECT count(*) FROM lake_record")
            first.runs.append({"limit": limit(), "ours": ours()})
            assert stack.value("SELECT count(*) FROM lake_record") - before == RECORDS
            again.runs.append({"limit": limit(), "ours": ours()})
            assert stack.value("SELECT count(*) FROM lake_record") - before == RECORDS
    for row in (first, again):
        middle = sorted(row.runs, key=lambda run: run["ours"] / run["limit"])[1]
        row.ours, row.limit, row.ratio = middle["ours"], middle["limit"], middle["ours"] / middle["limit"]
    return [first, again]


def _copy_and_upsert(stack: BenchStack, bodies: list[bytes]) -> None:
    with psycopg.connect(stack.dsn) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE incoming (id text, line text) ON COMMIT DROP")
        with cursor.copy("COPY incoming (id, line) FROM STDIN") as copy:
            for body in bodies:
                for line in body.split(b"\n"):
                    at = line.index(b'"conversation_id":"') + 19
                    copy.write_row((line[at : at + 13].decode(), line.decode()))
        cursor.execute(
            "INSERT INTO bench_copied SELECT * FROM incoming ON CONFLICT (id) DO UPDATE SET line = EXCLUDED.line"
        )


def end_to_end_single(stack: BenchStack) -> list[Row]:
    """One record per batch, compared with how many small objects the store accepts."""
    row = Row("end-to-end-single", "batches/s", 0.8, note="limit: put_object of small objects, 16 threads")
    count = 2000
    with stack.running("web", "worker-landing", "beat"):
        key = stack.new_key()

        def ours() -> float:
            requests_ = [post(INGEST, data.record(), key, NDJSON) for _ in range(count)]

            def work() -> None:
                send(WEB_PORT, requests_.pop, total=count, connections=16, status=202)
                stack.until(IS_UNSETTLED, False)

            return per_second(count, work)

        return [by_turns(row, ours=ours, limit=lambda: _put_small(stack, count, data.record()), runs=3)]


def _put_small(stack: BenchStack, count: int, content: bytes) -> float:
    folder = get_random_string(8)

    def put(number: int) -> None:
        stack.store.put_object(BUCKET, f"bench/{folder}/{number}", io.BytesIO(content), len(content))

    def work() -> None:
        with ThreadPoolExecutor(16) as pool:
            assert len(list(pool.map(put, range(count)))) == count

    return per_second(count, work)


class _Vendor(BaseHTTPRequestHandler):
    """Serves as many bytes as the path says, and keeps connections open like vendors' servers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    chunk = bytes(range(256)) * 4096

    def do_HEAD(self) -> None:
        """Answers rclone's first request."""
        self._begin()

    def _begin(self) -> tuple[int, str]:
        size, _, name = self.path[1:].partition("-")
        self.send_response(200)
        self.send_header("Content-Length", size)
        self.end_headers()
        return int(size), name

    def do_GET(self) -> None:
        """Serves different content for each path."""
        left, name = self._begin()
        opening = name.encode()[:left]
        self.wfile.write(opening)
        left -= len(opening)
        while left:
            part = self.chunk[:left]
            self.wfile.write(part)
            left -= len(part)

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing, because the table is the output."""


class _ThreadsSession(threading.local):
    """A thread's own session, which keeps its connections as our worker does."""

    def __init__(self) -> None:
        self.session = requests.Session()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


def _attachments(
    stack: BenchStack, row: Row, *, size: int, count: int, runs: int, peers: Sequence[Row] = ()
) -> list[Row]:
    """Downloads files and stores them. ``peers``: rows with the same work as a plain download and upload without any check;
    the end of a row's name selects requests, or rclone if it is installed."""
    server = _Server(("127.0.0.1", 0), _Vendor)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    content = _Vendor.chunk * (size // len(_Vendor.chunk) + 1)
    with stack.running("web", "worker-landing", "worker-attachments", "beat"):
        key = stack.new_key()

        def ours() -> float:
            names = [f"{base}/{size}-{get_random_string(12)}" for _ in range(count)]
            body = b"\n".join(data.with_file(url) for url in names)
            stored = "SELECT coalesce(sum(size), 0)::bigint FROM attachments_storedfile"
            before = stack.value(stored)

            def work() -> None:
                answer = requests.post(
                    f"http://127.0.0.1:{WEB_PORT}{INGEST}", data=body, headers={"x-api-key": key, "Content-Type": NDJSON},
                    timeout=30,
                )  # fmt: skip
                assert answer.status_code == 202
                stack.until(IS_UNSETTLED, False)

            rate = per_second(count * size, work)
            assert stack.value(stored) - before == count * size
            return rate

        def local(number: int) -> bytes:
            return content

        mine = _ThreadsSession()

        def fetched(number: int) -> bytes:
            return mine.session.get(f"{base}/{size}-{number}", timeout=30).content

        def limit(source: Callable[[int], bytes]) -> float:
            return _put(stack, source, size, count)

        by_turns(row, ours=ours, limit=lambda: limit(local), runs=runs)
        for peer in peers:
            copied = (
                (lambda: _rclone(stack, base, size, count)) if peer.name.endswith("rclone") else lambda: limit(fetched)
            )
            by_turns(peer, ours=ours, limit=copied, runs=runs)
    server.shutdown()
    return [row, *peers]


def _put(stack: BenchStack, source: Callable[[int], bytes], size: int, count: int) -> float:
    """Bytes a second of sixteen threads that store what ``source`` returns for each number."""
    folder = get_random_string(8)

    def put(number: int) -> None:
        stack.store.put_object(
            BUCKET, f"bench/{folder}/{number}", io.BytesIO(source(number)), size,
            part_size=8 * 1024 * 1024 if size > 8 * 1024 * 1024 else 0, num_parallel_uploads=3,
        )  # fmt: skip

    def work() -> None:
        with ThreadPoolExecutor(16) as pool:
            assert len(list(pool.map(put, range(count)))) == count

    return per_second(count * size, work)


def _rclone(stack: BenchStack, base: str, size: int, count: int) -> float:
    folder, store = get_random_string(8), stack.environment
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": stack.environment["EVERMUSE_HOME"],
        "RCLONE_CONFIG_FROM_TYPE": "http",
        "RCLONE_CONFIG_FROM_URL": base,
        "RCLONE_CONFIG_TO_TYPE": "s3",
        "RCLONE_CONFIG_TO_PROVIDER": "Minio",
        "RCLONE_CONFIG_TO_ENDPOINT": f"http://{store['MINIO_ENDPOINT']}",
        "RCLONE_CONFIG_TO_ACCESS_KEY_ID": store["MINIO_ACCESS_KEY"],
        "RCLONE_CONFIG_TO_SECRET_ACCESS_KEY": store["MINIO_SECRET_KEY"],
    }
    options = [
        "--transfers=16",
        "--checkers=16",
        "--no-traverse",
        "--no-check-dest",
        "--s3-no-check-bucket",
        "--s3-no-head",
    ]
    names = "\n".join(f"{size}-{folder}-{number}" for number in range(count))
    command = ["rclone", "copy", "FROM:", f"TO:{BUCKET}/bench/{folder}", "--files-from-raw=-", *options]
    rate = per_second(
        count * size,
        lambda: subprocess.run(
            command, input=names.encode(), env=environment, check=True, timeout=120, capture_output=True
        ),
    )
    assert sum(1 for _ in stack.store.list_objects(BUCKET, prefix=f"bench/{folder}/")) == count
    return rate


def attachments_small(stack: BenchStack) -> list[Row]:
    """1,000 files of 100 KB."""
    row = Row(
        "attachments-1000x100KB", "bytes/s", 0.7, note="limit: put_object of local bytes, 16 threads: no download"
    )
    name = "attachments-1000x100KB-vs"
    peers = [
        Row(f"{name}-requests", "bytes/s", None, note="limit: requests → put_object, 16 threads, kept connections")
    ]
    if shutil.which("rclone"):
        peers.append(Row(f"{name}-rclone", "bytes/s", 0.7, note="limit: rclone copy of the same URLs, 16 transfers"))
    return _attachments(stack, row, size=100_000, count=1000, runs=3, peers=peers)


def attachments_large(stack: BenchStack) -> list[Row]:
    """One file of 1 GB."""
    row = Row("attachments-1x1GB", "bytes/s", 0.85, note="limit: put_object of local bytes, parts of 8 MiB × 3")
    return _attachments(stack, row, size=1024**3, count=1, runs=3)
