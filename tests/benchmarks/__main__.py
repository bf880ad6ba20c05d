"""`make bench`: measures every row (or ROW="name name …") in one run, and prints and writes a table (bench.json)."""

import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy.local.embedded import running_servers
from evermuse.env import home
from tests.benchmarks import (
    rows_accept,
    rows_backlog,
    rows_client,
    rows_cold,
    rows_convert,
    rows_growth,
    rows_pipeline,
)
from tests.benchmarks.measure import Row
from tests.benchmarks.stack import BenchStack
from tests.guard import Guard

ROWS: dict[str, Callable[[BenchStack], list[Row]]] = {
    "accept-single": rows_accept.accept_single,
    "accept-1000": rows_accept.accept_batch,
    "validate": rows_accept.validate,
    "validate-patiently": rows_accept.validate_patiently,
    "store": rows_accept.store,
    "end-to-end": rows_pipeline.end_to_end,
    "end-to-end-single": rows_pipeline.end_to_end_single,
    "attachments-small": rows_pipeline.attachments_small,
    "attachments-large": rows_pipeline.attachments_large,
    "read-cold": rows_cold.read_cold,
    "backlog": rows_backlog.backlog,
    "worker-memory": rows_backlog.worker_memory,
    "client-send": rows_client.client_send,
    "client-export": rows_client.client_export,
    "convert-mbox": rows_convert.convert_mbox,
    "growth-batch-list": rows_growth.batch_list,
    "growth-batch-status": rows_growth.batch_status,
    "growth-read-back": rows_growth.read_back,
    "growth-record": rows_growth.record,
    "growth-dedup": rows_growth.dedup,
    "growth-overview": rows_growth.overview,
}


def main() -> int:
    """Returns the exit code: 0 if every row could be measured, 1 if one failed, 2 for an unknown name."""
    given = [name for word in sys.argv[1:] for name in word.split(",") if name]
    chosen = {name: _groups(name) for name in given}
    if unknown := [name for name, groups in chosen.items() if not groups]:
        Console(stderr=True).print(f"make bench: no row {', '.join(unknown)}; there are: {', '.join(ROWS)}")
        return 2
    wanted = [key for key in ROWS if not given or any(key in groups for groups in chosen.values())]
    target = home() / "bench.json"
    root = Path(tempfile.mkdtemp(prefix="evermuse-bench-"))
    guard = Guard(root)
    console = Console(width=150)
    rows: list[Row] = []
    try:
        with running_servers(root / "servers") as servers:
            os.environ.update(servers.environment | {"EVERMUSE_HOME": str(root / "stack")})
            stack = BenchStack(servers, root / "stack")
            for name in wanted:
                for row in _measured(name, stack):
                    rows.append(row)
                    console.print(_line(row), highlight=False, markup=False)
                _write(target, rows)
    finally:
        guard.close()
    console.print(_table(rows))
    console.print(f"Written to {target}", highlight=False)
    return 1 if any(row.failure for row in rows) else 0


def _groups(name: str) -> list[str]:
    """Returns the rows for a name: one row, a family ("growth"), or the group in which a row is measured."""
    if name in ROWS:
        return [name]
    if family := [key for key in ROWS if key.startswith(f"{name}-")]:
        return family
    return sorted((key for key in ROWS if name.startswith(f"{key}-")), key=len)[-1:]


def _measured(name: str, stack: BenchStack) -> list[Row]:
    """Measures the rows of a group; if that fails, returns a row with the reason."""
    try:
        return ROWS[name](stack)
    except Exception as error:
        logging.getLogger(__name__).exception("row %s failed", name)
        return [Row(name, "", None, failure=f"{type(error).__name__}: {error}"[:2000])]


def _write(target: Path, rows: Sequence[Row]) -> None:
    """Writes the rows after every group, so that an interrupted run keeps its results."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_suffix(".json.new")
    draft.write_text(json.dumps({"rows": [row.as_json() for row in rows]}, indent=2))
    draft.replace(target)


def _line(row: Row) -> str:
    if row.failure:
        return f"{row.name}: FAILED: {row.failure}"
    return f"{row.name}: {row.ours:,.1f} beside {row.limit:,.1f} {row.unit} = {row.ratio:.2f}"


def _table(rows: Sequence[Row]) -> Table:
    table = Table("row", "unit", "ours", "limit", "ratio (median)", "spread", "aim", "runs")
    for row in rows:
        if row.failure:
            table.add_row(row.name, "[red]failed", "", "", "", "", "", "0")
            continue
        met = row.aim is None or row.ratio >= row.aim
        style = "green" if met else "red"
        table.add_row(
            row.name, row.unit, f"{row.ours:,.1f}", f"{row.limit:,.1f}", f"[{style}]{row.ratio:.2f}", row.spread,
            "" if row.aim is None else f"{row.aim:.2f}", str(len(row.runs)),
        )  # fmt: skip
    return table


if __name__ == "__main__":
    sys.exit(main())
