"""Which local files a record names, and the names that its attachments get."""

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from evermuse.client import Client, local_names
from evermuse.client.send.attaching import Attacher
from evermuse.client.send.checking import Candidate, check
from evermuse.client.send.known import OTHER


def candidate(*attachments: dict[str, Any]) -> Candidate:
    record = {
        "_type": "email", "_schema_version": "1.0.0", "_event_at": "2026-01-01T00:00:00Z", "_vendor_ids": {"id": "1"},
        "_product_id": "p", "_project_ids": ["q"], "_attachments": list(attachments), "data": {},
    }  # fmt: skip
    (found,) = check([json.dumps(record).encode()], 0, 0)
    assert isinstance(found, Candidate)
    return found


def converted(directory: Path, stem: str, content: bytes) -> dict[str, Any]:
    """An attachment as a converter writes it, with its file."""
    sha1 = hashlib.sha1(content).hexdigest()
    name = local_names.local(stem, ".pdf", sha1)
    (directory / name).write_bytes(content)
    return {"type": "file", "filename": name, "size": len(content), "sha1": sha1}


def sent_names(directory: Path, found: Candidate) -> list[str]:
    attacher = Attacher(directory, None)
    attacher.find(found)
    intents = {str(index): f"intent-{index}" for index in found.local_files}
    return [one["filename"] for one in json.loads(attacher.rewritten(found, intents))["_attachments"]]


def test_converted_files_are_sent_under_their_own_names_and_told_apart(tmp_path: Path) -> None:
    first, second, third = (converted(tmp_path, "offer", content) for content in (b"1", b"2", b"3"))
    other = converted(tmp_path, "offer (2)", b"4")
    found = candidate(first, second, other, third)
    assert sent_names(tmp_path, found) == ["offer.pdf", "offer (2).pdf", "offer (2) (2).pdf", "offer (3).pdf"]


def test_names_that_a_user_chose_stay_as_they_are(tmp_path: Path) -> None:
    content = b"notes"
    sha1 = hashlib.sha1(content).hexdigest()
    (tmp_path / "a").mkdir()
    names = ["notes.txt", "a/notes.txt", "notes-0123456789ab.txt", f"a/n-{sha1[:12]}.txt"]
    for name in names:
        (tmp_path / name).write_bytes(content)
    entries = [{"type": "text", "filename": name, "sha1": sha1} for name in [*names, "notes.txt"]]
    assert sent_names(tmp_path, candidate(*entries)) == [*names, "notes.txt"]


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "file", "filename": "ä" * 300},
        {"type": "file", "filename": "n" * 512},
        {"type": "file", "vendor_url": "file:a%00b"},
        {"type": "file", "vendor_url": "file:../outside.txt"},
        {"type": "file", "filename": "/etc/passwd"},
        {"type": "file", "filename": "."},
    ],
)
def test_attachment_whose_name_no_file_can_have_counts_as_missing(tmp_path: Path, entry: dict[str, Any]) -> None:
    (tmp_path / "outside.txt").write_text("secret")
    (tmp_path / "files").mkdir()
    attacher = Attacher(tmp_path / "files", None)
    found = candidate(entry)
    attacher.find(found)
    assert (found.local_files, attacher.missing) == ({}, 1)


def stored(entries: list[dict[str, Any]], version: int = 2) -> httpx.MockTransport:
    """A server that has the record of `candidate`, with these attachments."""
    record = json.loads(candidate().raw) | {"_nature": "evidence", "_attachments": entries}
    row = {
        "recordId": "rec_1", "batchId": "batch_1", "firstAcceptedAt": 1, "updatedAt": 1, "version": version,
        "storageUri": "s3://x", "record": record,
    }  # fmt: skip
    return httpx.MockTransport(lambda request: httpx.Response(200, json={"records": [row], "nextCursor": None}))


UPLOADED = {"size": 3, "sha1": hashlib.sha1(b"one").hexdigest(), "upload_intent_id": "intent-1"}
NAMED = {"type": "text", "filename": "one.txt"}
DECLARED = {**NAMED, "size": 3, "sha1": UPLOADED["sha1"]}


@pytest.mark.parametrize(
    ("given", "held", "known"),
    [
        ([NAMED], [NAMED], "unknown"),
        ([DECLARED], [DECLARED], "unknown"),
        ([NAMED], [{**NAMED, **UPLOADED}], "current"),
        ([DECLARED], [{**NAMED, **UPLOADED}], "current"),
        ([NAMED, NAMED], [{**NAMED, **UPLOADED}, NAMED], "unknown"),
        ([NAMED], [{**NAMED, **UPLOADED, "size": 4}], OTHER),
        ([NAMED], [{**NAMED, "size": 4}], OTHER),
        ([NAMED], [], OTHER),
    ],
)
def test_record_is_sent_again_if_the_server_only_lacks_its_files(
    given: list[dict[str, Any]], held: list[dict[str, Any]], known: str, tmp_path: Path
) -> None:
    (tmp_path / "one.txt").write_bytes(b"one")
    with Client("http://server.example", "em_sk_a", http=stored(held)) as client:
        attacher = Attacher(tmp_path, client)
        found = candidate(*given)
        attacher.find(found)
        assert attacher.known(found) == known


def test_record_that_differs_from_the_only_version_is_new(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_bytes(b"one")
    held = [{**NAMED, **UPLOADED, "size": 4}]
    with Client("http://server.example", "em_sk_a", http=stored(held, version=1)) as client:
        attacher = Attacher(tmp_path, client)
        found = candidate(NAMED)
        attacher.find(found)
        assert attacher.known(found) == "unknown"
