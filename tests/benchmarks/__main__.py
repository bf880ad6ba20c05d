"""`make bench`: every row (or ROW=name) in one run, a table on the screen, bench.json under EVERMUSE_HOME."""

import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy.local.embedded import running_servers
from evermuse.env import home
from tests.benchmarks import rows_accept, rows_pipeline
from tests.benchmarks.measure import Row
from tests.benchmarks.stack import BenchStack

ROWS: dict[str, Callable[[BenchStack], list[Row]]] = {
    "accept-single": rows_accept.accept_single,
    "accept-1000": rows_accept.accept_batch,
    "validate": rows_accept.validate,
    "store": rows_accept.store,
    "end-to-end": rows_pipeline.end_to_end,
    "end-to-end-single": rows_pipeline.end_to_end_single,
    "attachments-small": rows_pipeline.attachments_small,
    "attachments-large": rows_pipeline.attachments_large,
}


def main() -> int:
    """The exit code: 0 when every row could be measured, whatever it came to."""
    wanted = sys.argv[1:] or list(ROWS)
    if unknown := [name for name in wanted if name not in ROWS]:
        Console(stderr=True).print(f"make bench: no row {', '.join(unknown)}; there are: {', '.join(ROWS)}")
        return 2
    # The limit's client has a pool of ten connections and says so for each of its sixteen threads.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    target = home() / "bench.json"
    root = Path(tempfile.mkdtemp(prefix="evermuse-bench-"))
    console = Console(width=150)
    rows: list[Row] = []
    try:
        with running_servers(root / "servers") as servers:
            os.environ.update(servers.environment | {"EVERMUSE_HOME": str(root / "stack")})
            stack = BenchStack(servers, root / "stack")
            for name in wanted:
                for row in ROWS[name](stack):
                    rows.append(row)
                    console.print(f"{row.name}: {row.ours:,.0f} beside {row.limit:,.0f} {row.unit} = {row.ratio:.2f}")
    finally:
        shutil.rmtree(root, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"rows": [row.as_json() for row in rows]}, indent=2))
    console.print(_table(rows))
    console.print(f"Written to {target}", highlight=False)
    return 0


def _table(rows: list[Row]) -> Table:
    table = Table("row", "unit", "ours", "limit", "ratio (median)", "spread", "aim", "runs")
    for row in rows:
        met = row.aim is None or row.ratio >= row.aim
        style = "green" if met else "red"
        table.add_row(
            row.name, row.unit, f"{row.ours:,.1f}", f"{row.limit:,.1f}", f"[{style}]{row.ratio:.2f}", row.spread,
            "" if row.aim is None else f"{row.aim:.2f}", str(len(row.runs)),
        )  # fmt: skip
    return table


if __name__ == "__main__":
    sys.exit(main())
