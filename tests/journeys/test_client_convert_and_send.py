"""`evermuse send --from FORMAT` against the real stack: files of other systems become records of the workspace."""

import json
import shutil
from pathlib import Path

import pytest

from tests.journeys.client import HttpClient
from tests.journeys.evermuse_command import Evermuse
from tests.journeys.stack import Stack, until
from tests.journeys.test_client_send import batch_count, settle, versions

PLACES = ("--product", "prod-abc", "--project", "proj-123")
# A thousand in a batch; two runs are killed after a batch each.
RECORDS = 4000
UNDATED = "From -\nSubject: without any date\n\nlost?\n\n"


def mail(number: int, *, file: str = "") -> str:
    head = (
        f"From ann@acme.example Mon Jan  1 10:00:00 2024\nMessage-ID: <{number}@acme.example>\n"
        "Date: Mon, 1 Jan 2024 10:00:00 +0100\nFrom: Ann <ann@acme.example>\nTo: Bob <bob@customer.example>\n"
        f"Subject: Offer {number}\nMIME-Version: 1.0\n"
    )
    if not file:
        return f"{head}Content-Type: text/plain\n\nHere is offer {number}.\n\n"
    return (
        f"{head}Content-Type: multipart/mixed; boundary=b\n\n--b\n\nHere it is.\n--b\n"
        f'Content-Type: text/csv; name="{file}"\nContent-Disposition: attachment; filename="{file}"\n\n'
        f"price,{number}\n--b--\n\n"
    )


@pytest.fixture
def evermuse(client: HttpClient, tmp_path: Path) -> Evermuse:
    return Evermuse(client, tmp_path)


def test_mailbox_is_converted_and_sent_with_its_files_by_one_command(stack: Stack, evermuse: Evermuse) -> None:
    box = evermuse.directory / "Inbox.mbox"
    box.write_text(mail(1, file="offer.csv") + mail(2) + UNDATED + mail(3))
    words = (box, "--from", "mbox", *PLACES, "--attach", evermuse.directory / "files")
    counts = evermuse.counts(*words, "--wait", code=1)
    assert (counts["read"], counts["accepted"], counts["rejected"], counts["unconverted"]) == (3, 3, 0, 1)
    assert (counts["uploadedFiles"], counts["failedFiles"]) == (1, 0)
    (line,) = (evermuse.directory / "Inbox.mbox.unconverted.ndjson").read_text().splitlines()
    assert "no date" in json.loads(line)["reason"]
    (batch,) = counts["batchIds"]
    (file,) = evermuse.client.pages(f"/api/v1/ingest/batches/{batch}/attachments", "attachments")
    assert (file["state"], file["filename"]) == ("COMPLETE", "offer.csv")
    again = evermuse.counts(*words, code=1)
    assert (again["current"], again["accepted"], again["uploadedFiles"]) == (3, 0, 0)
    printed = evermuse.run("send", *words, code=1)
    assert "1 item not converted" in printed


@pytest.mark.parametrize("keeps_state", [True, False])
def test_killed_conversion_continues_without_lost_or_repeated_records(
    stack: Stack, tmp_path: Path, keeps_state: bool
) -> None:
    client = stack.new_client(rate_limit=3)
    evermuse = Evermuse(client, tmp_path)
    box = tmp_path / "Archive.mbox"
    box.write_text("".join(mail(number) for number in range(RECORDS)))
    words = (box, "--from", "mbox", *PLACES)
    for _ in range(2):
        sending = evermuse.start("send", *words)
        before = batch_count(stack, client)
        until(
            lambda: batch_count(stack, client) > before or sending.poll() is not None,  # noqa: B023
            "a batch was accepted",
        )
        sending.kill()
        sending.communicate()
        if not keeps_state:
            shutil.rmtree(tmp_path / "config", ignore_errors=True)
    counts = evermuse.counts(*words)
    assert counts["read"] == RECORDS == counts["accepted"] + counts["current"]
    settle(stack, client)
    assert versions(stack, client) == {1: RECORDS}


def test_missing_source_or_place_is_wrong_usage(evermuse: Evermuse) -> None:
    box = evermuse.directory / "Inbox.mbox"
    box.write_text(mail(1))
    evermuse.run("send", box, "--from", "mbox", code=2)
    evermuse.run("send", box, "--from", "fax", *PLACES, code=2)
    evermuse.run("send", evermuse.directory / "none.mbox", "--from", "mbox", *PLACES, code=2)
    evermuse.run("send", box, "--from", "csv", *PLACES, code=2)
