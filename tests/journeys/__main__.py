"""`make faults`: every fault in several rounds, and a table. ROUNDS, SEED and FAULT (part of a name) select them.

POOLER=pgbouncer and BROKER=redis or rabbitmq choose other servers. FAULT takes several parts, separated by commas.
"""

import logging
import os
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy.local.embedded import running_servers
from tests.guard import Guard
from tests.journeys import trial
from tests.journeys.faults import FAULTS
from tests.journeys.stack import NAMES, Stack, until
from tests.journeys.trial import Trial
from tests.parts import chosen


def main() -> int:
    """Returns the exit code: 0 if every cell that must be zero is zero."""
    logging.disable(logging.WARNING)
    rounds, seed = int(os.environ.get("ROUNDS", "2")), int(os.environ.get("SEED", "1"))
    parts = [part.strip() for part in os.environ.get("FAULT", "").split(",")]
    wanted = [name for name in FAULTS if any(part in name for part in parts)]
    if fault := chosen.fault():
        sys.exit(fault)
    root = Path(tempfile.mkdtemp(prefix="evermuse-faults-"))
    guard = Guard(root)
    console = Console(width=140)
    trials: dict[str, list[Trial]] = defaultdict(list)
    failures: list[str] = []
    try:
        with running_servers(root / "servers", choose=chosen.replace) as servers:
            os.environ.update(servers.environment | {"EVERMUSE_ATTACHMENT_ALLOWED_NETWORKS": "127.0.0.0/8"})
            os.environ["EVERMUSE_SECRET_KEY"] = "faults-" + "0" * 50
            stack = Stack(servers, root / "stack")
            try:
                stack.start(*NAMES)
                until(stack.is_up, "the stack is up")
                for number in range(rounds):
                    for name in wanted:
                        try:
                            found = trial.run(stack, name, seed + number)
                        except AssertionError as reason:
                            # The other faults can still be tried.
                            failures.append(name)
                            console.print(f"{name}: FAILED: {reason}", style="red", markup=False)
                            continue
                        trials[name].append(found)
                        console.print(f"{name}: {found.verdict.acknowledged} acknowledged, {found.drain_seconds:.1f} s")
                        for finding in found.verdict.told:
                            console.print(f"  {finding}", style="red", markup=False)
            finally:
                stack.stop_all()
    finally:
        guard.close()
    console.print(_table(trials))
    if failures:
        console.print(f"{len(failures)} failed before their verdict: {', '.join(failures)}", style="red", markup=False)
    clean = [one.verdict.is_clean for several in trials.values() for one in several]
    if counts := os.environ.get("COUNTS"):
        Path(counts).write_text(f"{clean.count(True)} {clean.count(False) + len(failures)}")
    return int(bool(failures) or not all(clean))


def _table(trials: dict[str, list[Trial]]) -> Table:
    columns = ("acknowledged", "lost", "doubled", "wrong_version", "wrong_counts", "wrong_journal", "orphans")
    table = Table("fault", "times", *(name.replace("_", " ") for name in columns), "s to drain, at most")
    for fault, several in trials.items():
        sums = (sum(getattr(one.verdict, name) for one in several) for name in columns)
        table.add_row(fault, str(len(several)), *map(str, sums), f"{max(one.drain_seconds for one in several):.1f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
