"""Mails of a collection: copies, ids in several containers, threads, and how a collection lies on disk."""

import gzip
import json
import os
from pathlib import Path

from tests.evermuse.client.convert.running import HEAD, run


def test_copies_are_converted_once_and_other_mails_with_the_same_id_are_kept(tmp_path: Path) -> None:
    box = tmp_path / "box"
    for folder, body in (("cur", "one"), (".Sent/cur", "one"), (".List/cur", "two"), ("new", "two")):
        (box / folder).mkdir(parents=True, exist_ok=True)
        (box / folder / "1.host:2,S").write_text(f"{HEAD}\n{body}\n")
    (box / "dovecot.index").write_bytes(b"x")
    (box / "tmp").mkdir()
    (box / "tmp" / "2.host").write_text("unfinished")
    done = run("maildir", box, folder=tmp_path)
    assert done.lines == run("maildir", box, folder=tmp_path).lines
    assert sorted(one["data"]["text"] for one in done.records) == ["one\n", "two\n"]
    assert len({json.dumps(one["_vendor_ids"]) for one in done.records}) == 2
    assert (done.writer.duplicates, done.writer.failed) == (2, 0)


def test_mail_without_id_has_the_same_digest_in_every_container(tmp_path: Path) -> None:
    raw = "Date: Mon, 1 Jan 2024 10:00:00 +0000\nFrom: a@b.example\nSubject: s\n\nFrom me\n\nbye\n"
    (tmp_path / "a.eml").write_bytes(raw.replace("\n", "\r\n").encode())
    (tmp_path / "a.mbox").write_text(
        "From x Mon Jan  1 10:00:00 2024\nX-Status: R\n" + raw.replace("\nFrom me", "\n>From me") + "\n"
    )
    ids = [run(kind, tmp_path / f"a.{kind}", folder=tmp_path).records[0]["_vendor_ids"] for kind in ("eml", "mbox")]
    assert ids[0] == ids[1] and list(ids[0]) == ["content_sha256"]


def test_threads_follow_references_then_replies_then_subjects_in_any_order(tmp_path: Path) -> None:
    def raw(id: str, subject: str, day: int, more: str = "") -> str:
        return f"Message-ID: <{id}>\nDate: {day} Jan 2024 10:00:00 +0000\nSubject: {subject}\n{more}\nx\n"

    mails = {
        "a": raw("a@x", "Plan", 1),
        "b": raw("b@x", "Re: Plan", 2, "In-Reply-To: <a@x>\n"),
        "c": raw("c@x", "Re: Plan", 3, "In-Reply-To: Bob's message <bob@x.example> of Monday <b@x>\n"),
        "d": raw("d@x", "Other", 4, "References: <a@x>\n <b@x>\n"),
        "e": raw("e@x", "AW: RE: plan", 5),
        "f": raw("f@x", "Re: Plan", 6, "In-Reply-To: <e@x>\n"),
        "g": raw("g@x", "Plan", 7),
        "h": raw("h@x", "Re: x", 8, "References: <i@x>\n"),
        "i": raw("i@x", "Re: x", 8, "References: <h@x>\n"),
    }
    found = []
    for names in (sorted(mails), sorted(mails, reverse=True)):
        file = tmp_path / "t.mbox"
        file.write_text("".join(f"From x Mon Jan  1 10:00:00 2024\n{mails[name]}\n" for name in names))
        found.append(
            {one["data"]["message_id"][1]: one["_thread_id"] for one in run("mbox", file, folder=tmp_path).records}
        )
    assert found[0] == found[1]
    assert {found[0][name] for name in "abcdef"} == {"<a@x>"}
    assert (found[0]["g"], found[0]["h"]) == ("<g@x>", found[0]["i"])


def test_compressed_mailboxes_and_plain_directories_are_read(tmp_path: Path) -> None:
    (tmp_path / "m.mbox.gz").write_bytes(gzip.compress(b"From x Mon Jan  1 10:00:00 2024\n" + HEAD.encode() + b"\nx\n"))
    (tmp_path / "enron" / "allen-p" / "inbox").mkdir(parents=True)
    (tmp_path / "enron" / "allen-p" / "inbox" / "1.").write_text(HEAD + "\nx\n")
    assert len(run("mbox", tmp_path / "m.mbox.gz", folder=tmp_path).records) == 1
    assert len(run("maildir", tmp_path / "enron", folder=tmp_path).records) == 1


def test_copies_of_files_whose_names_are_not_utf8_name_the_right_one(tmp_path: Path) -> None:
    (tmp_path / "cur").mkdir()
    for name, number in ((b"a\xe8", 1), (b"a\xe9", 2), (b"b", 2)):
        (tmp_path / "cur" / os.fsdecode(name)).write_text(HEAD.replace("<1@", f"<{number}@") + "\nx\n")
    (copy,) = run("maildir", tmp_path / "cur", folder=tmp_path).rejects
    assert copy["duplicateOf"]["file"] == f"{tmp_path}/cur/a\\xe9"
