"""Which lines `evermuse export` writes again, and how it remembers them."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from evermuse.client import Client, exporting


class Removals:
    """A server without records, which lists removals from an instant on."""

    def __init__(self, *rows: tuple[str, int]) -> None:
        self.rows = list(rows)

    def answer(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/removed"):
            return httpx.Response(200, content=b"")
        since = request.url.params.get("since", "")
        lines = [
            json.dumps({"recordId": id, "removedAt": at, "reason": "retention"}).encode() + b"\n"
            for id, at in self.rows
            if not since or at >= int(since[20:23])
        ]
        return httpx.Response(200, content=b"".join(lines))


def export(server: Removals, state: Path) -> list[str]:
    """The ids that one export writes."""
    written: list[bytes] = []
    with Client("http://server.example", "em_sk_a", http=httpx.MockTransport(server.answer)) as client:
        known = exporting.load(state, client.url, {})
        exporting.IncrementalExport(client, known, state, written.append, lambda: None).run()
    found: list[Any] = [json.loads(line)["recordId"] for line in written]
    return found


def test_removals_of_one_instant_are_written_once_however_many_exports_read_them(tmp_path: Path) -> None:
    server = Removals(("a", 1), ("b", 2), ("c", 2))
    assert export(server, tmp_path / "state") == ["a", "b", "c"]
    assert export(server, tmp_path / "state") == []
    server.rows += [("d", 2), ("e", 3)]
    assert export(server, tmp_path / "state") == ["d", "e"]
    server.rows += [("b", 4)]
    assert [export(server, tmp_path / "state") for _ in range(2)] == [["b"], []]


def test_state_of_an_earlier_program_and_more_removals_than_are_remembered_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old: dict[str, Any] = {
        "url": "http://server.example",
        "filters": {},
        "updated_at": None,
        "removed_at": 2,
        "seen": {},
    }
    (tmp_path / "state").write_text(json.dumps(old))
    server = Removals(("a", 1), ("b", 2), ("c", 2))
    assert export(server, tmp_path / "state") == ["b", "c"]
    monkeypatch.setattr(exporting, "MAX_REMEMBERED", 1)
    server.rows += [("d", 3), ("e", 3)]
    assert [export(server, tmp_path / "state") for _ in range(2)] == [["d", "e"], ["e"]]
