"""The command `evermuse` as a process of its own, with a home of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.journeys.client import HttpClient

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass
class Evermuse:
    """Runs the command in a directory, with the key of a client."""

    client: HttpClient
    directory: Path
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What the command sees of the environment."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EVERMUSE_")}
        return (
            kept
            | {
                "EVERMUSE_URL": self.client.url,
                "EVERMUSE_API_KEY": self.client.key,
                "EVERMUSE_CONFIG": str(self.directory / "config"),
                "PYTHONPATH": str(ROOT),
                "COLUMNS": "200",
            }
            | self.more
        )

    def start(self, *words: object, stdin: Any = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """The running command."""
        return subprocess.Popen(
            [sys.executable, "-m", "evermuse.client", *map(str, words)],
            cwd=self.directory, env=self.environment, stdin=stdin,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, *words: object, input: str | bytes | None = None, code: int = 0) -> str:
        """What the command prints. Fails unless it ends with ``code``."""
        done = subprocess.run(
            [sys.executable, "-m", "evermuse.client", *map(str, words)],
            cwd=self.directory, env=self.environment, capture_output=True, timeout=240, check=False,
            input=input.encode() if isinstance(input, str) else input or b"",
        )  # fmt: skip
        printed = done.stdout.decode()
        assert done.returncode == code, f"{done.returncode}\n{printed}\n{done.stderr.decode()}"
        return printed

    def counts(self, *words: object, code: int = 0, input: str | bytes | None = None) -> dict[str, Any]:
        """The counts of `evermuse send … --json`."""
        found: dict[str, Any] = json.loads(self.run("send", *words, "--json", input=input, code=code))
        return found

    def paste(self, printed: str, code: int = 0) -> str:
        """Run the last line of an output as a shell would."""
        line = printed.rstrip("\n").splitlines()[-1]
        done = subprocess.run(
            line, shell=True, cwd=self.directory, env=self.environment, capture_output=True, text=True, timeout=240,
            check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def write_lines(path: Path, records: Sequence[dict[str, Any]]) -> Path:
    """A file of NDJSON."""
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    return path
