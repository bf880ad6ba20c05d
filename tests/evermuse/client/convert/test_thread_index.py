"""Failures of the index that finds the threads of mails."""

import sqlite3
from pathlib import Path

import pytest

from tests.evermuse.client.convert.running import run


def test_mail_that_breaks_the_index_of_threads_does_not_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, header: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr("evermuse.client.convert.mail.threads.ThreadIndex.add", refuse)
    file = tmp_path / "m.eml"
    file.write_text("Date: Mon, 1 Jan 2024 10:00:00 +0000\nFrom: a@b.example\n\nhello\n")
    assert run("eml", file, folder=tmp_path).records[0]["data"]["text"] == "hello\n"


def test_full_disk_under_the_index_of_threads_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, header: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("evermuse.client.convert.mail.threads.ThreadIndex.add", refuse)
    file = tmp_path / "m.eml"
    file.write_text("Date: Mon, 1 Jan 2024 10:00:00 +0000\nFrom: a@b.example\n\nhello\n")
    with pytest.raises(OSError, match=r"the index of threads .* disk is full"):
        run("eml", file, folder=tmp_path)
