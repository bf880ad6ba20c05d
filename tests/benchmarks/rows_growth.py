"""Rows for growth: reads and deduplication at 10,000 records compared with the full size (a ratio of times)."""

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console

from tests.benchmarks import grown
from tests.benchmarks.measure import Row, by_turns
from tests.benchmarks.stack import BenchStack

if TYPE_CHECKING:
    from tests.benchmarks.reads import Place

AIM = 0.5
RUNS = 3
BATCHES, RECORDS = "/api/v1/ingest/batches", "/api/v1/records"
UPSERTS = 5

_places: list["Place"] = []


def _both(stack: BenchStack) -> tuple["Place", "Place"]:
    """Returns the small database and the full one; the first call fills them."""
    if not _places:
        os.environ.update(stack.environment)
        from tests.benchmarks import reads

        for name, records in (("evermuse_small", grown.SMALL_RECORDS), ("evermuse_grown", grown.records_wanted())):
            made = grown.grow(stack, name, records)
            said = f"{name}: {records:,} records, {made.batches:,} batches loaded in {made.seconds:.0f} s"
            Console().print(said, highlight=False)
            _places.append(reads.open_place(made))
    return _places[0], _places[1]


def _compare(stack: BenchStack, row: Row, make: Callable[["Place"], Callable[[], object]]) -> Row:
    """Measures one piece of work alternately at both sizes, then stores its plans at full size."""
    from tests.benchmarks import reads

    small, full = _both(stack)

    def measured(place: "Place") -> float:
        reads.use(place.grown.dsn)
        return reads.rate(make(place))

    row.note = f"limit: at {small.grown.records:,} records, ours: at {full.grown.records:,}" + (
        row.note and f"; {row.note}"
    )
    by_turns(row, ours=lambda: measured(full), limit=lambda: measured(small), runs=RUNS)
    reads.use(full.grown.dsn)
    work = make(full)
    with reads.plans(row.explain):
        work()
    return row


def _worst(name: str, rows: list[Row]) -> list[Row]:
    """Returns the rows, after the worst of them under the group's name."""
    worst = min(rows, key=lambda row: row.ratio)
    first = Row(name, worst.unit, worst.aim, worst.ours, worst.limit, worst.ratio, worst.runs)
    first.note = f"the worst of {len(rows)}: {worst.name}"
    return [first, *rows]


def _page(path: str, query: str) -> Callable[["Place"], Callable[[], object]]:
    """Reads a page. If it has fewer entries at the small size, an unfiltered page of the same length is read there."""

    def make(place: "Place") -> Callable[[], object]:
        from tests.benchmarks import reads

        def entries(of: "Place", query: str) -> int:
            reads.use(of.grown.dsn)
            return len(next(iter(json.loads(reads.get(of.client, f"{path}?{query}")).values())))

        small, full = _places
        asked = query
        if place is small:
            count = entries(full, query)
            if entries(small, query) < count:
                asked = f"limit={count}"
        reads.use(place.grown.dsn)
        return lambda: reads.get(place.client, f"{path}?{asked}")

    return make


def _next_page(path: str, query: str) -> Callable[["Place"], Callable[[], object]]:
    """Reads the page after the first one."""

    def make(place: "Place") -> Callable[[], object]:
        from tests.benchmarks import reads

        following = json.loads(reads.get(place.client, f"{path}?{query}"))["nextCursor"]
        assert following
        return lambda: reads.get(place.client, f"{path}?{query}&cursor={following}")

    return make


def batch_list(stack: BenchStack) -> list[Row]:
    """GET /batches with each filter, for frequent and rare values."""
    _both(stack)
    from tests.benchmarks import reads

    queries = {
        "all": "limit=20",
        "status": "status=COMPLETE",
        "status-rare": "status=FAILED",
        "status-none": "status=PROCESSING",
        "type": "type=email",
        "type-rare": "type=spreadsheet",
        "type-none": "type=call",
        "source": "source=crm",
        "source-rare": "source=import",
        "source-none": "source=nobody",
        "since": f"since={reads.an_hour_before_the_end()}",
        "until": f"until={reads.the_middle()}",
        "until-rare": f"until={reads.the_middle()}&type=spreadsheet",
    }
    rows = [
        _compare(stack, Row(f"growth-batch-list-{name}", "pages/s", AIM, note=query), _page(BATCHES, query))
        for name, query in queries.items()
    ]
    for name in ("all", "type", "until"):
        row = Row(f"growth-batch-list-{name}-next", "pages/s", AIM, note=f"{queries[name]}, second page")
        rows.append(_compare(stack, row, _next_page(BATCHES, queries[name])))
    return _worst("growth-batch-list", rows)


def batch_status(stack: BenchStack) -> list[Row]:
    """GET /batches/{id}."""

    def make(place: "Place") -> Callable[[], object]:
        from tests.benchmarks import reads

        path = f"{BATCHES}/{reads.any_batch()}"
        return lambda: reads.get(place.client, path)

    return [_compare(stack, Row("growth-batch-status", "requests/s", AIM), make)]


def read_back(stack: BenchStack) -> list[Row]:
    """GET /records with each filter, for frequent and rare values."""
    _both(stack)
    from tests.benchmarks import reads

    recent, middle = reads.an_hour_before_the_end(), reads.the_middle()
    queries = {"all": "limit=20", "tag-rare": f"tag={grown.RARE_TAG}", "tag-none": "tag=nothing"}
    for kind, filter_ in (
        ("project", "project_id"),
        ("thread", "thread_id"),
        ("participant", "participant"),
        ("tag", "tag"),
    ):
        size = grown.LARGE[kind]
        for name, number in (("frequent", 0), ("middle", size // 2), ("last", size - 1)):
            queries[f"{kind}-{name}"] = f"{filter_}={grown.name_of(kind, number)}"
    queries |= {
        "vendor-none": "vendor_id=conversation_id:nothing",
        "type": "type=email",
        "type-rare": "type=spreadsheet",
        "type-none": "type=call",
        "product": "product_id=prod-abc",
        "product-none": "product_id=nothing",
        "changed-recent": f"changed_since={recent}",
        "changed-middle": f"changed_since={middle}",
        "event-recent": f"event_since={recent}",
        "event-middle": f"event_since={middle}",
        "event-until": f"event_until={middle}",
        "tag-and-type": f"tag={grown.name_of('tag', 0)}&type=email",
        "tag-changed": f"tag={grown.name_of('tag', 0)}&changed_since={middle}",
    }
    rows = [
        _compare(stack, Row(f"growth-read-back-{name}", "pages/s", AIM, note=query), _page(RECORDS, query))
        for name, query in queries.items()
    ]

    def vendor(place: "Place") -> Callable[[], object]:
        key, value = next(iter(place.sample[0].normalized.envelope.vendor_ids.items()))
        return lambda: reads.get(place.client, f"{RECORDS}?vendor_id={key}:{value}")

    for name in ("all", "tag-frequent", "changed-middle", "event-middle"):
        row = Row(f"growth-read-back-{name}-next", "pages/s", AIM, note=f"{queries[name]}, second page")
        rows.append(_compare(stack, row, _next_page(RECORDS, queries[name])))
    rows.append(_compare(stack, Row("growth-read-back-vendor", "pages/s", AIM), vendor))
    return _worst("growth-read-back", rows)


def record(stack: BenchStack) -> list[Row]:
    """GET /records/{id}."""

    def make(place: "Place") -> Callable[[], object]:
        from tests.benchmarks import reads

        path = f"{RECORDS}/{reads.any_record()}"
        return lambda: reads.get(place.client, path)

    return [_compare(stack, Row("growth-record", "requests/s", AIM), make)]


def overview(stack: BenchStack) -> list[Row]:
    """GET /admin/ as an operator, with up-to-date rollups, as in a running deployment."""
    from tests.benchmarks import reads

    for place in _both(stack):
        reads.use(place.grown.dsn)
        reads.roll_up()

    def make(place: "Place") -> Callable[[], object]:
        return lambda: reads.get(place.operator, "/admin/")

    return [_compare(stack, Row("growth-overview", "pages/s", AIM), make)]


def dedup(stack: BenchStack) -> list[Row]:
    """The index's upsert of 1,000 records per commit, new and repeated."""
    from tests.benchmarks.measure import per_second

    small, full = _both(stack)
    from tests.benchmarks import reads

    def measured(place: "Place", again: bool) -> float:
        reads.use(place.grown.dsn)
        made = [reads.prepare_batch(place.sample if again else None) for _ in range(UPSERTS)]

        def work() -> None:
            for batch in made:
                reads.commit(batch)

        found = per_second(UPSERTS * 1000, work)
        letter = "i" if again else "c"
        assert all(set(batch.outcomes.values()) == {letter} for batch in made)
        if place is small and not again:
            reads.forget([batch.sequence for batch in made])
        return found

    rows = []
    for name, again in (("growth-dedup-new", False), ("growth-dedup-again", True)):
        row = Row(name, "records/s", AIM, note=f"limit: at {small.grown.records:,}, ours: at {full.grown.records:,}")
        by_turns(
            row,
            ours=lambda again=again: measured(full, again),  # type: ignore[misc]
            limit=lambda again=again: measured(small, again),  # type: ignore[misc]
            runs=5,
        )
        reads.use(full.grown.dsn)
        batch = reads.prepare_batch(full.sample if again else None)
        with reads.plans(row.explain):
            reads.commit(batch)
        rows.append(row)
    return _worst("growth-dedup", rows)
