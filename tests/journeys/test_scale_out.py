"""A small version of `make scale-out`: the primary's machine is lost under load, and nothing that was acknowledged."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.guard import MARK
from tests.journeys.deployment import ROOT
from tests.journeys.scale_out import cluster

SLOW = "it takes more than a minute: set SCALE_OUT=1, or run make scale-out"


def test_batches_acknowledged_before_the_primary_is_lost_are_stored_once_by_the_promoted_standby(
    tmp_path: Path,
) -> None:
    if missing := cluster.missing() or ("" if os.environ.get("SCALE_OUT") else SLOW):
        pytest.skip(f"NO FAILOVER WAS TESTED: {missing}")
    environment = {
        name: value for name, value in os.environ.items() if name != MARK and not name.startswith("EVERMUSE_")
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.journeys.scale_out"],
        cwd=ROOT, env=environment | {"MODES": "synchronous", "MACHINES": "few", "REPORTS": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    report = json.loads((tmp_path / "synchronous.json").read_text())
    verdict = report["verdict"]
    assert verdict["acknowledged"] > 10
    assert (verdict["lost"], verdict["doubled"], report["gone"], report["ids_twice"]) == (0, 0, 0, 0)
