"""How a row is measured: limit and product alternate in one run; medians and spread are kept, and results are counted."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

# The result of one measurement: units of work per second.
Rate = float


@dataclass
class Row:
    """A line of the table. ``ratio``: ours divided by the limit; larger is better."""

    name: str
    unit: str
    aim: float | None
    ours: float = 0.0
    limit: float = 0.0
    ratio: float = 0.0
    runs: list[dict[str, float]] = field(default_factory=list)
    note: str = ""
    # Plans (EXPLAIN ANALYZE, BUFFERS) of the row's statements at full size.
    explain: list[str] = field(default_factory=list)
    # Why the row could not be measured.
    failure: str = ""

    def as_json(self) -> dict[str, Any]:
        """Returns the row as it is written to bench.json."""
        return asdict(self)

    @property
    def spread(self) -> str:
        """Returns the lowest and the highest ratio of the runs."""
        ratios = [run["ours"] / run["limit"] for run in self.runs]
        return f"{min(ratios):.2f}–{max(ratios):.2f}"


def by_turns(row: Row, *, ours: Callable[[], Rate], limit: Callable[[], Rate], runs: int = 3) -> Row:
    """Measures the limit and the product alternately, after one run of each that does not count."""
    limit(), ours()
    for turn in range(runs):
        # Each goes first in every other run, so that neither always profits from what the other has warmed up.
        first, second = (limit, ours) if turn % 2 == 0 else (ours, limit)
        a, b = first(), second()
        row.runs.append({"limit": a, "ours": b} if first is limit else {"ours": a, "limit": b})
    return conclude(row)


def conclude(row: Row) -> Row:
    """Fills in the medians of the runs."""
    row.ours = statistics.median(run["ours"] for run in row.runs)
    row.limit = statistics.median(run["limit"] for run in row.runs)
    row.ratio = statistics.median(run["ours"] / run["limit"] for run in row.runs)
    return row


def per_second(count: int, work: Callable[[], object]) -> Rate:
    """Returns how much of ``count`` a piece of work does per second."""
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)
