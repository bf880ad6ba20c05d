"""`make scale-out`: machines as network namespaces, load through a proxy, and the loss of some machines; prints a table.

MODES=synchronous,asynchronous selects how the standby is kept. MACHINES=few builds one machine of each kind, and loses only the
primary's. SEED decides what is sent. KEEP_LOGS names a directory for the logs, REPORTS one for each mode's figures as JSON.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.guard import Guard
from tests.journeys.scale_out import cluster as clusters
from tests.journeys.scale_out import failover, network
from tests.journeys.scale_out.cluster import Cluster

SYNCHRONOUS, ASYNCHRONOUS = "synchronous", "asynchronous"
# Name the directory and the mode to the process inside.
DIRECTORY, MODE = "SCALE_OUT_DIRECTORY", "SCALE_OUT_MODE"
REPORT = "report.json"
SIZES = {
    "many": {"webs": 3, "landings": 3, "files": 2, "beats": 2},
    "few": {"webs": 1, "landings": 1, "files": 1, "beats": 1},
}
COUNTS = ("acknowledged", "lost", "doubled", "wrong_version", "wrong_counts", "wrong_journal", "orphans")


def main() -> int:
    """Returns the exit code: 0 if every cell that must be zero is zero."""
    if directory := os.environ.get(DIRECTORY):
        _run(Path(directory), os.environ[MODE])
        return 0
    modes = [mode.strip() for mode in os.environ.get("MODES", f"{SYNCHRONOUS},{ASYNCHRONOUS}").split(",")]
    if unknown := set(modes) - {SYNCHRONOUS, ASYNCHRONOUS}:
        sys.exit(f"MODES must name {SYNCHRONOUS}, {ASYNCHRONOUS} or both, not {', '.join(sorted(unknown))}")
    if (size := os.environ.get("MACHINES", "many")) not in SIZES:
        sys.exit(f"MACHINES must be {' or '.join(SIZES)}, not {size}")
    if missing := clusters.missing():
        sys.exit(f"not run: {missing}")
    root = Path(tempfile.mkdtemp(prefix="evermuse-scale-out-"))
    guard = Guard(root)
    table = Table("standby", *(name.replace("_", " ") for name in COUNTS), "gone", "ids twice", "s away", "s to drain")
    exit_code = 0
    try:
        for mode in modes:
            found = _run_inside(root / mode, mode)
            if found is None:
                return 1
            verdict = found["verdict"]
            cells = [verdict[name] for name in COUNTS] + [found[name] for name in ("gone", "ids_twice")]
            table.add_row(mode, *map(str, cells), *(f"{found[f'{name}_seconds']:.1f}" for name in ("away", "drain")))
            exit_code |= not found["is_as_promised"]
    finally:
        guard.close()
    Console(width=150).print(table)
    return exit_code


def _run_inside(root: Path, mode: str) -> Any:
    """The report of one mode. None if it failed, and has printed why."""
    root.mkdir()
    command = [*network.inside(), sys.executable, "-m", "tests.journeys.scale_out"]
    subprocess.run(command, env=os.environ | {DIRECTORY: str(root), MODE: mode}, check=False)
    if logs := os.environ.get("KEEP_LOGS"):
        shutil.copytree(root / "log", Path(logs) / mode, dirs_exist_ok=True)
    report = root / REPORT
    if not report.exists():
        return None
    if reports := os.environ.get("REPORTS"):
        Path(reports).mkdir(parents=True, exist_ok=True)
        shutil.copy(report, Path(reports) / f"{mode}.json")
    return json.loads(report.read_text())


def _run(root: Path, mode: str) -> None:
    logging.disable(logging.WARNING)
    console = Console(width=150)
    cluster = Cluster(root, **SIZES[os.environ.get("MACHINES", "many")])
    try:
        cluster.start()
        console.print(f"{mode}: {len(cluster.machines)} machines are up")
        found = failover.run(cluster, is_synchronous=mode == SYNCHRONOUS, seed=int(os.environ.get("SEED", "1")))
    finally:
        cluster.stop()
    for finding in found.verdict.told:
        console.print(f"  {finding}", style="red", markup=False)
    (root / REPORT).write_text(json.dumps(asdict(found) | {"is_as_promised": found.is_as_promised}))


if __name__ == "__main__":
    sys.exit(main())
