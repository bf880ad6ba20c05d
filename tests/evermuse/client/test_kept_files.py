"""Files of rejects and of exports: each line is sound, none is lost, and no other file of the user is damaged."""

import json
import os
import time
from pathlib import Path

import pytest

from evermuse.client.convert import RejectWriter
from evermuse.client.send import reading
from evermuse.client.send.checking import Invalid, check, unwrapped
from evermuse.client.send.journal import CLOCK_SECONDS, open_journal
from evermuse.client.send.rejects import RejectFile, beside
from lake.field_errors import FieldError
from tests.evermuse.client.test_commands import run

ERRORS = [FieldError(code="VALIDATION_ERROR", pointer="/_event_at", message="no")]
SERVER = {"EVERMUSE_URL": "http://127.0.0.1:1", "EVERMUSE_API_KEY": "em_sk_x"}
NAMES = [os.fsdecode(b"caf\xe9.ndjson"), os.fsdecode(b"caf\xe8.ndjson")]


def rejected(path: Path, raw: bytes) -> dict[str, object]:
    """The line in the file of rejects for a record that the validator refuses."""
    (found,) = check([raw], 0, 0)
    assert isinstance(found, Invalid)
    file = RejectFile(path / "r.ndjson", is_resumed=False)
    file.write("calls.ndjson", 0, found.raw, found.errors)
    file.close()
    line: dict[str, object] = json.loads(file.path.read_bytes())
    return line


@pytest.mark.parametrize(
    "raw", [b"z" * 5_300_000, b'{"a": "' + b"z" * 5_300_000, b'{"a": NaN, "b": "%b"}' % (b"z" * 5_300_000)]
)
def test_text_that_is_too_large_and_no_json_is_a_string_in_the_rejects(raw: bytes, tmp_path: Path) -> None:
    line = rejected(tmp_path, raw)
    assert line["payload"] == raw.decode()
    assert unwrapped(json.dumps(line).encode()) == raw


def test_record_that_is_too_large_stays_an_object_in_the_rejects(tmp_path: Path) -> None:
    raw = b'{"a": "%b"}' % (b"z" * 5_300_000)
    assert rejected(tmp_path, raw)["payload"] == json.loads(raw)


def test_rejects_say_that_the_end_of_an_endless_line_is_missing(tmp_path: Path) -> None:
    whole = b"z" * (reading.MAX_VALUE_BYTES + 1)
    (raw,) = (raw for chunk in reading.records([whole, b"z" * 1000, b"z" * 1000]) for raw in chunk)
    line = rejected(tmp_path, raw)
    assert line["payload"] == "z" * reading.MAX_VALUE_BYTES
    assert "16,777,216 bytes or more" in str(line["errors"]) and "its first 16,777,216 bytes" in str(line["errors"])


def test_rejects_of_names_that_differ_in_bytes_that_are_no_utf8_are_all_kept(tmp_path: Path) -> None:
    for is_resumed in (False, True):
        file = RejectFile(tmp_path / "r.ndjson", is_resumed=is_resumed)
        file.begin()
        for name in NAMES:
            file.write(name, 0, b"{}", ERRORS)
        file.close()
    shown = [json.loads(line)["file"] for line in file.path.read_bytes().splitlines()]
    assert shown == ["caf\\xe9.ndjson", "caf\\xe8.ndjson"]


def test_items_that_were_not_converted_and_copies_name_such_files_too(tmp_path: Path) -> None:
    with RejectWriter(tmp_path / "r.ndjson") as writer:
        writer.reject(file=NAMES[0], offset=0, reason="no")
        writer.duplicate(file=NAMES[1], offset=0, first_file=NAMES[0], first_offset=0)
    first, second = map(json.loads, (tmp_path / "r.ndjson").read_bytes().splitlines())
    assert [first["file"], second["file"], second["duplicateOf"]["file"]] == [
        "caf\\xe9.ndjson", "caf\\xe8.ndjson", "caf\\xe9.ndjson",
    ]  # fmt: skip


def test_rejects_of_the_current_directory_are_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "export" / "x").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "export")
    assert beside(Path(), "rejected") == tmp_path / "export.rejected.ndjson"
    assert beside(Path(".."), "rejected") == tmp_path.parent / f"{tmp_path.name}.rejected.ndjson"
    assert beside(Path("x/.."), "rejected") == tmp_path / "export.rejected.ndjson"
    assert beside(Path("/"), "rejected") == Path("/root.rejected.ndjson")
    assert beside(Path("x"), "rejected") == Path("x.rejected.ndjson")


@pytest.mark.parametrize(
    "words",
    [
        ("convert", "mbox", "kept", "--product", "p", "--project", "q", "--rejects", "./kept"),
        ("send", "kept", "--rejects", "kept"),
        ("send", "kept", "--from", "mbox", "--product", "p", "--project", "q", "--rejects", "kept"),
        ("export", "--state", "kept", "--output", "./kept"),
        ("export", "--state", "state", "--output", "kept"),
    ],
)
def test_file_that_the_user_keeps_is_neither_removed_nor_changed(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("notes")
    done = run(tmp_path, *words, **SERVER)
    assert (done.returncode, (tmp_path / "kept").read_text(), done.stdout) == (2, "notes", ""), done.stderr
    assert "kept" in done.stderr and [one.name for one in tmp_path.iterdir() if one.is_file()] == ["kept"]


@pytest.mark.parametrize("rest", ["", '{"rec', '{"recordId":"rec_2","data":"' + "x" * 200_000])
def test_unfinished_line_of_a_killed_export_is_cut_off(rest: str, tmp_path: Path) -> None:
    (tmp_path / "copy").write_text('{"recordId":"rec_1"}\n' + rest)
    done = run(tmp_path, "export", "--state", "state", "--output", "copy", "--patience", "0", **SERVER)
    assert (done.returncode, (tmp_path / "copy").read_text()) == (3, '{"recordId":"rec_1"}\n'), done.stderr


def test_plan_from_the_future_is_not_sent_again_under_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_journal(tmp_path, ["file"])
    journal.plan([(0, 0)], "sha", {})
    journal.close()
    now = time.time()
    for back, pending in ((CLOCK_SECONDS // 2, 1), (3600, 0), (-21 * 3600, 0)):
        monkeypatch.setattr(time, "time", lambda at=now - back: at)
        resumed = open_journal(tmp_path, ["file"])
        resumed.close()
        assert (resumed.is_resumed, len(resumed.pending)) == (True, pending)


def test_journal_that_another_sender_removes_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.journal").write_bytes(b'{"do":"begin"}\n')
    found = list(tmp_path.glob("*.journal"))
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(found))
    found[0].unlink()
    journal = open_journal(tmp_path, ["file"])
    journal.close()
    assert not journal.is_resumed and not found[1].exists()


@pytest.mark.parametrize(
    "tail",
    [
        b"\0" * 512 + b"\n",
        b"[]\n",
        b"{}\n",
        b'{"do":"plan"}\n',
        b'{"do":"ack","number":9}\n',
        b'{"do":"settle","spans":[0,1],"code":1}\n',
    ],
)
def test_damaged_journal_starts_a_new_run(tail: bytes, tmp_path: Path) -> None:
    journal = open_journal(tmp_path, ["file"])
    journal.plan([(0, 0)], "sha", {})
    journal.close()
    (path,) = tmp_path.glob("*.journal")
    path.write_bytes(path.read_bytes() + tail + b'{"do":"drop","number":1}\n')
    fresh = open_journal(tmp_path, ["file"])
    fresh.close()
    assert (fresh.is_resumed, path.exists(), fresh.run_id != journal.run_id) == (False, False, True)
