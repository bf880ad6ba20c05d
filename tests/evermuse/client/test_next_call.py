"""The command that a run prints at its end, and what it says about files that it did not read."""

import bz2
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evermuse.client.answers import Batch
from evermuse.client.commands.next_call import after_end, kept_options, server_options
from evermuse.client.send.opening import OpenSource, SourceError
from evermuse.client.send.running import Run
from evermuse.client.send.sources import find
from evermuse.client.send.waiting import Settled
from tests.evermuse.client.test_commands import run as command
from tests.evermuse.client.test_odd_servers import accepted, send
from tests.evermuse.client.test_surroundings import LINE


@pytest.fixture
def finished(tmp_path: Path) -> Run:
    return send(tmp_path, lambda request: accepted(3))


def batch(status: str = "COMPLETE", **counts: int) -> Batch:
    fields: dict[str, Any] = {
        "batchId": "batch_1", "status": status, "createdAt": 1, "acceptedCount": 1, "rejectedCount": 0,
        "totalErrorCount": 0, "errors": [], "source": "api", "type": "call",
    } | {f"attachmentDownload{name}": count for name, count in counts.items()}  # fmt: skip
    return msgspec.convert(fields, Batch)


def test_batch_with_files_that_a_retry_started_again_is_not_settled() -> None:
    assert not batch(Total=2, Complete=1, Failed=0).is_settled
    assert batch(Total=2, Complete=1, Failed=1).is_settled and batch().is_settled
    assert batch("FAILED", Total=2, Complete=0, Failed=0).is_settled


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("send DIR --attach DIR --limit 3", "--attach DIR"),
        ("send --url http://s DIR --rejects=x --wait --profile=p", "--url http://s --wait --profile=p"),
        ("send --overwrite --tag a --state-dir s -- DIR", "--state-dir s"),
    ],
)
def test_next_call_keeps_the_options_with_their_values(words: str, kept: str, tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_bytes(LINE)
    arguments = words.replace("DIR", str(tmp_path)).split()
    assert kept_options(arguments, find([tmp_path])) == kept.replace("DIR", str(tmp_path)).split()


@pytest.mark.parametrize(
    ("settled", "expected"),
    [
        (Settled(failed_files=1, with_failed_files=["batch_7"]), "evermuse retry batch_7 --profile work"),
        (Settled(failed=["batch_8"]), "evermuse retry batch_8 --profile work"),
        (Settled(late_rejections={"batch_9": 1}), "evermuse errors batch_9 --profile work"),
    ],
)
def test_command_about_a_batch_asks_the_same_server(
    finished: Run, settled: Settled, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["evermuse"])
    words = ["send", "records.ndjson", "--wait", "--profile", "work"]
    following = after_end(None, finished, finished.reader.sources, settled, words)
    assert following is not None and following.command == expected
    assert after_end(None, finished, finished.reader.sources, Settled(complete=1), words) is None
    assert server_options(["send", "--url=http://s", "--url", "u", "x", "--wait"]) == ["--url=http://s", "--url", "u"]


def test_run_with_an_incomplete_file_is_repeated_once_the_file_is_replaced(
    finished: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["evermuse"])
    finished.reader.unreadable.append("records.ndjson: cut off")
    following = after_end(None, finished, finished.reader.sources, None, ["send", "records.ndjson", "--wait"])
    assert following is not None and following.command == "evermuse send records.ndjson --wait"


def test_conversion_with_rejects_is_repeated_once_the_source_is_repaired(
    finished: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["evermuse"])
    words = ["send", "my box.mbox", "--from", "mbox", "--product", "p", "--project", "q"]
    files = [Path("my box.mbox.unconverted.ndjson")]
    following = after_end(None, finished, finished.reader.sources, Settled(complete=1), words, files)
    assert following is not None
    assert following.command == "evermuse send 'my box.mbox' --from mbox --product p --project q"
    assert following.invitation.startswith("my box.mbox.unconverted.ndjson has the place of each item")


@pytest.mark.parametrize(
    ("pack", "what"),
    [(bz2.compress, "bzip2"), (lzma.compress, "xz"), (lambda text: text.decode().encode("utf-16"), "UTF-16")],
)
def test_file_that_must_be_unpacked_first_is_an_error(
    pack: Callable[[bytes], bytes], what: str, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(pack(LINE))
    with pytest.raises(SourceError, match=f"the file is .*{what}"):
        next(OpenSource(tmp_path / "a").blocks())


def test_directory_says_how_many_files_were_not_read(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    for name in ("a.ndjson", "readme.txt", "b.ndjson.rejected.ndjson", ".hidden"):
        (tmp_path / "export" / name).write_bytes(LINE)
    done = command(tmp_path, "validate", "export")
    assert (done.returncode, "1 file ignored, such as export/readme.txt" in done.stdout) == (0, True), done.stdout
    (tmp_path / "export" / "c.ndjson.bz2").write_bytes(bz2.compress(LINE))
    done = command(tmp_path, "validate", "export", "--json")
    counts = json.loads(done.stdout)
    assert (done.returncode, counts["read"], counts["ignoredFiles"], len(counts["unreadable"])) == (1, 1, 1, 1)
