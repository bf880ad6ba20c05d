"""Runs a converter and holds what came out."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evermuse.client.convert import FORMATS, ConvertOptions, RejectWriter
from lake.known_ids import Catalog
from lake.landing import examine

Convert = Callable[..., dict[str, Any]]
HEAD = "Date: Mon, 1 Jan 2024 10:00:00 +0100\nMessage-ID: <1@acme.example>\nFrom: Ann <ann@acme.example>\n"
CATALOG = Catalog(frozenset({"prod"}), frozenset({"proj"}))


@dataclass(frozen=True)
class Run:
    lines: list[bytes]
    rejects: list[dict[str, Any]]
    writer: RejectWriter

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    @property
    def reasons(self) -> list[str]:
        return [reject["reason"] for reject in self.rejects]


def run(format: str, *paths: Path, folder: Path, **options: Any) -> Run:
    """Convert, and check what holds for every run: the sums, and that the server accepts each record."""
    target = folder / "rejects.ndjson"
    given = {"product_id": "prod", "project_ids": ("proj",), "processes": 1, **options}
    with RejectWriter(target) as writer:
        lines = list(FORMATS[format].convert(paths, options=ConvertOptions(**given), rejects=writer))
    rejects = [json.loads(line) for line in target.read_bytes().splitlines()] if target.exists() else []
    assert writer.read == writer.converted + writer.rejected
    assert (writer.converted, writer.rejected) == (len(lines), len(rejects))
    assert not any(b"\n" in line for line in lines)
    assert not examine(lines, lambda products, projects: CATALOG).rejected
    return Run(lines, rejects, writer)
