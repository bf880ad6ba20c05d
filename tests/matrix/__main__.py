"""`make matrix`: runs the journeys and faults for each part, and prints a table.

PARTS names parts, separated by commas. TESTS is an expression of pytest (-k) that selects journeys. FAULT selects faults as in
`make faults`; FAULT=none runs none. DEBIAN_ROOT names a directory with newer servers: see `tests.parts.debian`.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

from rich.console import Console
from rich.table import Table

from tests.matrix import parts
from tests.matrix.parts import Part

JOURNEYS = "tests/journeys"
FAULTS = "web: kill -9 after,before the index,broker: kill,broker: frozen,broker: out of memory,postgresql: kill,store: answers"


def main() -> int:
    """Returns the exit code: 0 if everything that could run has passed."""
    console = Console(width=150)
    table = Table("part", "versions", "journeys passed", "failed", "skipped", "faults clean", "not clean", "seconds")
    has_failed = False
    try:
        wanted = parts.chosen(os.environ.get("PARTS", ""))
    except KeyError as error:
        sys.exit(f"PARTS: {error} is none of {', '.join(part.name for part in parts.PARTS)}")
    for part in wanted:
        if missing := part.missing():
            table.add_row(part.name, f"not run: {missing}")
            continue
        began = time.monotonic()
        journeys, faults = _journeys(part), _faults(part)
        has_failed = has_failed or bool(journeys[1] or faults[1])
        row = [part.name, part.versions(), *map(str, (*journeys, *faults)), f"{time.monotonic() - began:.0f}"]
        console.print(" · ".join(row))
        table.add_row(*row)
    console.print(table)
    return int(has_failed)


def _journeys(part: Part) -> tuple[int, int, int]:
    """How many journeys passed, failed, and were skipped. A run that ends without a report counts as a failure."""
    selected = os.environ.get("TESTS", "")
    with tempfile.TemporaryDirectory(prefix="evermuse-matrix-") as root:
        report = Path(root) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-n", "0", "-q", JOURNEYS, f"--ignore={JOURNEYS}/test_faults.py"]
        command += ["-k", selected] if selected else []
        subprocess.run([*command, f"--junitxml={report}"], env=parts.environment(part), check=False)
        if not report.exists():
            return 0, 1, 0
        suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    total, failed, skipped = (
        sum(int(suite.attrib[name]) for suite in suites for name in names.split())
        for names in ("tests", "failures errors", "skipped")
    )
    return total - failed - skipped, failed, skipped


def _faults(part: Part) -> tuple[int, int]:
    """How many faults were clean, and how many were not."""
    selected = os.environ.get("FAULT", FAULTS)
    if selected == "none":
        return 0, 0
    with tempfile.TemporaryDirectory(prefix="evermuse-matrix-") as root:
        counts = Path(root) / "counts"
        environment = parts.environment(part) | {"FAULT": selected, "COUNTS": str(counts)}
        environment.setdefault("ROUNDS", "1")
        subprocess.run([sys.executable, "-m", "tests.journeys"], env=environment, check=False)
        if not counts.exists():
            return 0, 1
        clean, dirty = map(int, counts.read_text().split())
    return clean, dirty


if __name__ == "__main__":
    sys.exit(main())
