"""How a row is measured: limit and product by turns in one run, medians, spread, and what was stored is counted."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

# What one measurement gives: units of work per second.
Rate = float


@dataclass
class Row:
    """A line of the table. ``ratio``: ours beside the limit, 1 is the limit itself, larger is better."""

    name: str
    unit: str
    aim: float | None
    ours: float = 0.0
    limit: float = 0.0
    ratio: float = 0.0
    runs: list[dict[str, float]] = field(default_factory=list)
    note: str = ""
    # Plans (EXPLAIN ANALYZE, BUFFERS) of the statements behind the row, at full size.
    explain: list[str] = field(default_factory=list)
    # Why it could not be measured.
    failure: str = ""

    def as_json(self) -> dict[str, Any]:
        """The row as bench.json holds it."""
        return asdict(self)

    @property
    def spread(self) -> str:
        """The ratios of the runs, from the lowest to the highest."""
        ratios = [run["ours"] / run["limit"] for run in self.runs]
        return f"{min(ratios):.2f}–{max(ratios):.2f}"


def by_turns(row: Row, *, ours: Callable[[], Rate], limit: Callable[[], Rate], runs: int = 3) -> Row:
    """Measure the limit and the product alternately; both begin once before it counts."""
    limit(), ours()
    for turn in range(runs):
        # By turns also within a run: what warms up one of them must not always be the other.
        first, second = (limit, ours) if turn % 2 == 0 else (ours, limit)
        a, b = first(), second()
        row.runs.append({"limit": a, "ours": b} if first is limit else {"ours": a, "limit": b})
    return conclude(row)


def conclude(row: Row) -> Row:
    """The medians of the runs."""
    row.ours = statistics.median(run["ours"] for run in row.runs)
    row.limit = statistics.median(run["limit"] for run in row.runs)
    row.ratio = statistics.median(run["ours"] / run["limit"] for run in row.runs)
    return row


def per_second(count: int, work: Callable[[], object]) -> Rate:
    """How much of ``count`` a piece of work does in a second."""
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)
