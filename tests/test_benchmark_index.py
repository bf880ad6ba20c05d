"""Each row of the benchmarks can begin. No other test notices one that cannot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("module", ["in_process", "reads"])
def test_benchmark_in_this_process_finds_its_settings_without_the_environment(module: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    subprocess.run(
        [sys.executable, "-c", f"import tests.benchmarks.{module}"],
        cwd=Path(__file__).parent.parent,
        env=environment,
        check=True,
    )
