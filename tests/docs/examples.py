"""The examples of the documents: found in the Markdown, and run in order, page by page.

Blocks marked ``sh`` and ``python`` are run. A comment on the line before a block changes that:

    <!-- not run: the reason -->   the block cannot run in a test
    <!-- answer -->                the JSON that the block before prints; its shape must be that of the real answer
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from deploy.docs import SOURCES
from tests.journeys.stack import ROOT, Stack, until

LANGUAGES = ("sh", "python")
# The address of `make run` that the documents use.
DOCUMENTED_URL = "http://127.0.0.1:8000"
_BLOCK = re.compile(
    r"^(?:<!-- (?P<note>.*?) -->\n)?```(?P<language>[^\n`]*)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)
# Values that describe the result: they must be the same in the real answer.
_EXACT = {"error", "code", "status", "outcome", "state", "pointer", "method", "acceptedCount", "rejectedCount"}
_MARK = "=== block "


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    code: str
    note: str

    @property
    def is_run(self) -> bool:
        """Whether the test runs the block."""
        return self.language in LANGUAGES and not self.reason

    @property
    def reason(self) -> str:
        """Why the block is not run; empty if it is run."""
        return self.note.removeprefix("not run:").strip() if self.note.startswith("not run:") else ""

    @property
    def is_answer(self) -> bool:
        """Whether it shows the output of the block before."""
        return self.note == "answer"

    def __str__(self) -> str:
        return f"{self.page}.md:{self.line}"


def source(page: str) -> Path:
    """Returns the file of a page; the README is not among the documents."""
    return ROOT / "README.md" if page == "README" else SOURCES / f"{page}.md"


def blocks(page: str) -> list[Block]:
    """Returns the fenced blocks of a page in order."""
    text = source(page).read_text()
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found["language"], found["code"], found["note"] or "")
        for found in _BLOCK.finditer(text)
    ]


def run(page: str, stack: Stack, directory: Path) -> dict[int, str]:
    """Runs the blocks of a page in one shell, in order; returns the output of each by its number. Fails with the output."""
    until(lambda: requests.get(f"{stack.url}/readyz", timeout=10).json()["status"] == "ok", "every server answers")
    _furnish(directory, stack.new_client().key)
    script = ["set -euo pipefail"]
    runnable = {number: block for number, block in enumerate(blocks(page)) if block.is_run}
    for number, block in runnable.items():
        code = block.code.replace(DOCUMENTED_URL, stack.url)
        if block.language == "python":
            file = directory / f"example_{number}.py"
            file.write_text(code)
            code = f"{sys.executable} {file}\n"
        script.append(f"echo '{_MARK}{number}'\n{code}")
    path = directory / "examples.sh"
    path.write_text("\n".join(script))
    done = subprocess.run(
        ["bash", str(path)],
        cwd=directory,
        env={
            **stack.environment,
            "EVERMUSE_CONFIG": str(directory / "config"),
            "PATH": f"{directory / '.venv' / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    printed: dict[int, str] = {}
    for part in done.stdout.split(_MARK)[1:]:
        place, _, output = part.partition("\n")
        printed[int(place)] = output
    at = runnable[max(printed)] if printed else None
    assert done.returncode == 0, f"{at}\n{at.code if at else ''}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return printed


def _furnish(directory: Path, key: str) -> None:
    """Makes a directory look like a checkout beside a running stack."""
    (directory / "var").mkdir()
    (directory / "var" / "demo-api-key").write_text(key + "\n")
    (directory / ".venv" / "bin").mkdir(parents=True)
    python = directory / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    command = directory / ".venv" / "bin" / "evermuse"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m evermuse.client "$@"\n')
    command.chmod(0o755)
    (directory / "manage.py").symlink_to(ROOT / "manage.py")


def same_shape(documented: Any, real: Any, path: str = "") -> list[str]:
    """Lists where a real answer differs from the documented one: in keys, in types, or in a value that must be equal."""
    if isinstance(documented, dict) and isinstance(real, dict):
        if documented.keys() != real.keys():
            return [f"{path or '/'}: {sorted(documented)} in the document, {sorted(real)} in the answer"]
        return [
            fault
            for name in documented
            for fault in (
                [f"{path}/{name}: {documented[name]!r} in the document, {real[name]!r} in the answer"]
                if name in _EXACT and not isinstance(real[name], dict) and documented[name] != real[name]
                else same_shape(documented[name], real[name], f"{path}/{name}")
            )
        ]
    if isinstance(documented, list) and isinstance(real, list):
        if bool(documented) != bool(real):
            return [f"{path}: {len(documented)} entries in the document, {len(real)} in the answer"]
        return same_shape(documented[0], real[0], f"{path}/0") if documented else []
    is_same = type(documented) is type(real) or {type(documented), type(real)} == {int, float}
    return [] if is_same else [f"{path}: {documented!r} in the document, {real!r} in the answer"]


def last_json(text: str) -> Any:
    """Returns the last JSON value of an output: all of it, or its last line."""
    try:
        return json.loads(text)
    except ValueError:
        return json.loads(text.strip().splitlines()[-1])
