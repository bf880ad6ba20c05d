"""The benchmarks are no tests, so nothing else notices a row that cannot begin."""

import os
import subprocess
import sys
from pathlib import Path


def test_index_of_the_store_benchmark_finds_its_settings_without_the_environment() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    subprocess.run(
        [sys.executable, "-c", "import tests.benchmarks.in_process"],
        cwd=Path(__file__).parent.parent,
        env=environment,
        check=True,
    )
