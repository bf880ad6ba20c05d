"""Rows for accepting, validating and storing."""

import gc
import os
from collections.abc import Callable

import msgspec
import psycopg

from evermuse import garbage_collection
from lake.envelope import Envelope
from lake.landing import examine
from tests.benchmarks import data
from tests.benchmarks.http_load import Outcome, post, send
from tests.benchmarks.measure import Row, by_turns, per_second
from tests.benchmarks.stack import BARE_PORT, WEB_PORT, BenchStack

INGEST, NDJSON = "/api/v1/ingest", "application/x-ndjson"


def accept_single(stack: BenchStack) -> list[Row]:
    """One record per request, and the 99th percentile of its latency."""
    row = Row("accept-single", "requests/s", 0.6)
    tail = Row("accept-single-p99", "1/s (inverse of the 99th percentile)", 1 / 3)
    row.note = "limit: a bare view that INSERTs the compressed body, same front, same threads"
    return _accept(stack, row, tail, lambda: data.record(), requests=3000, records=1)


def accept_batch(stack: BenchStack) -> list[Row]:
    """A thousand records per request."""
    row = Row("accept-1000", "records/s", 0.5)
    return _accept(stack, row, None, lambda: data.ndjson(1000), requests=40, records=1000)


def _accept(
    stack: BenchStack, row: Row, tail: Row | None, body: Callable[[], bytes], *, requests: int, records: int
) -> list[Row]:
    stack.execute("CREATE TABLE IF NOT EXISTS bare_payload (id bigserial PRIMARY KEY, content bytea NOT NULL)")
    key = stack.new_key(rate_limit="1000000")
    tails: dict[str, list[float]] = {"ours": [], "limit": []}
    with stack.running("web", "bare"):

        def load(port: int, path: str, side: str) -> float:
            bodies = [post(path, body(), key, NDJSON) for _ in range(requests)]
            table = "ingest_batch" if side == "ours" else "bare_payload"
            before = stack.value(f"SELECT count(*) FROM {table}")
            found: Outcome = send(port, bodies.pop, total=requests, connections=16, status=202)
            assert stack.value(f"SELECT count(*) FROM {table}") - before == requests
            tails[side].append(found.p99)
            return found.rate * records

        by_turns(
            row,
            ours=lambda: load(WEB_PORT, INGEST, "ours"),
            limit=lambda: load(BARE_PORT, "/insert", "limit"),
            runs=5,
        )
    if tail is None:
        return [row]
    pairs = zip(tails["ours"][1:], tails["limit"][1:], strict=True)
    tail.runs = [{"ours": 1 / ours, "limit": 1 / limit} for ours, limit in pairs]
    middle = sorted(tail.runs, key=lambda run: run["ours"] / run["limit"])[len(tail.runs) // 2]
    tail.ours, tail.limit, tail.ratio = middle["ours"], middle["limit"], middle["ours"] / middle["limit"]
    return [row, tail]


def validate(stack: BenchStack) -> list[Row]:
    """Every rule and message of the contract, compared with a plain decode into the same structs."""
    # As in every process that validates. Otherwise the collector would run in one of the two by chance.
    garbage_collection.relax()
    raws = [data.record() for _ in range(20_000)]
    rounds = 5
    decode = msgspec.json.Decoder(Envelope).decode

    def lookup(products: set[str], projects: set[str]) -> "object":
        return _Catalog(products, projects)

    def ours() -> float:
        def work() -> None:
            for start in [*range(0, len(raws), 1000)] * rounds:
                # As below, keep nothing of a batch while the next one is read.
                assert len(examine(raws[start : start + 1000], lookup).accepted) == 1000  # type: ignore[arg-type]

        return per_second(len(raws) * rounds, work)

    def limit() -> float:
        def work() -> None:
            for start in [*range(0, len(raws), 1000)] * rounds:
                assert len([decode(raw) for raw in raws[start : start + 1000]]) == 1000

        return per_second(len(raws) * rounds, work)

    assert gc.isenabled()
    row = Row("validate", "records/s", 0.5, note="limit: a plain decode into the same structs; collector on in both")
    return [by_turns(row, ours=ours, limit=limit, runs=5)]


def validate_patiently(stack: BenchStack) -> list[Row]:
    """Valid records that the fast decoder refuses, compared with records of the same bytes that it takes.

    A ratio of 1/8 means eight times the time. The aim is the bound that the product promises for one body of 5 MB.
    """
    garbage_collection.relax()
    return [_patient(name, patient, quick) for name, (patient, quick) in _PATIENT.items()]


# Values of ``data``: one that needs the patient path, and one of as many bytes that does not.
_KEYS = ",".join(f'"key {n}":{n % 10}' for n in range(330)).encode()
_PATIENT: dict[str, tuple[bytes, bytes]] = {
    "surrogate": (b'{"a":"\\ud800","b":[%b0]}' % (b"0," * 2400), b'{"a":"\\u0800","b":[%b0]}' % (b"0," * 2400)),
    "keys": (b'{"a":"\\ud800",%b}' % _KEYS, b'{"a":"\\u0800",%b}' % _KEYS),
    "deep": (b'{"a":%b%b}' % (b"[" * 2400, b"]" * 2400), b'{"a":[%b[]]}' % (b"[]," * 1599)),
}


def _patient(name: str, patient: bytes, quick: bytes) -> Row:
    """A body of 1,000 records, and one record of 5 MB with the same contents."""

    def raws(data_of: bytes) -> list[bytes]:
        record = data.record()
        head = record[: record.index(b'"data":')]
        many = [head + b'"data":' + data_of + b"}"] * 1000
        return [*many, head + b'"data":{"all":[' + b",".join([data_of] * 1000) + b"]}}"]

    slow, fast = raws(patient), raws(quick)
    assert abs(sum(map(len, slow)) - sum(map(len, fast))) < 0.01 * sum(map(len, fast))

    def rate(records: list[bytes]) -> float:
        def work() -> None:
            assert len(examine(records, _Catalog).accepted) == len(records)  # type: ignore[arg-type]

        return per_second(len(records), work)

    row = Row(
        f"validate-patiently-{name}", "records/s", 1 / 8, note="limit: records of as many bytes on the quick path"
    )
    return by_turns(row, ours=lambda: rate(slow), limit=lambda: rate(fast), runs=5)


class _Catalog:
    def __init__(self, products: set[str], projects: set[str]) -> None:
        self.product_ids, self.project_ids = products, projects


PLAIN_TABLE = """
CREATE UNLOGGED TABLE IF NOT EXISTS bench_plain (id uuid PRIMARY KEY, sequence bigint, data bytea, head bytea, digest bytea);
ALTER TABLE bench_plain SET LOGGED; TRUNCATE bench_plain
"""
PLAIN_UPSERT = """
INSERT INTO bench_plain SELECT * FROM unnest(%b::uuid[], %b::bigint[], %b::bytea[], %b::bytea[], %b::bytea[])
ON CONFLICT (id) DO UPDATE SET sequence = EXCLUDED.sequence, data = EXCLUDED.data, head = EXCLUDED.head,
  digest = EXCLUDED.digest WHERE bench_plain.sequence < EXCLUDED.sequence
"""


def store(stack: BenchStack) -> list[Row]:
    """The index's upsert, compared with a plain `unnest` upsert of the same bytes: 1,000 rows per commit, one connection."""
    os.environ.update(stack.environment)
    from tests.benchmarks.in_process import Index

    index = Index(stack)
    for statement in PLAIN_TABLE.split(";"):
        stack.execute(statement)

    def limit() -> float:
        batches = index.prepared(20)
        with psycopg.connect(stack.dsn) as connection, psycopg.Cursor(connection) as cursor:

            def work() -> None:
                for sequence, records in batches:
                    rows = [(r.id, sequence, r.normalized.data, r.normalized.head, r.digest) for r in records]
                    cursor.execute(PLAIN_UPSERT, [list(column) for column in zip(*rows, strict=True)])
                    connection.commit()

            return per_second(20_000, work)

    def ours() -> float:
        batches = index.prepared(20)
        rate = per_second(20_000, lambda: index.upsert_all(batches))
        assert index.count_of(batches) == 20_000
        return rate

    row = by_turns(Row("store-1000", "records/s", 0.8), ours=ours, limit=limit, runs=5)
    row.note = "limit: id, sequence, digest, head, data; ours points to the payload, and besides has terms (GIN), outcomes, seven more columns"
    return [row]
