"""`evermuse send` against the real stack: nothing lost, nothing doubled, every record accounted for."""

import json
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.client import HttpClient
from tests.journeys.evermuse_command import Evermuse, write_lines
from tests.journeys.stack import Stack, free_port, until
from tests.records import record

PER_TYPE, TYPES = 2000, ("message", "email", "call")
EVENT = "2026-03-01T00:00:00Z"


@pytest.fixture
def evermuse(client: HttpClient, tmp_path: Path) -> Evermuse:
    return Evermuse(client, tmp_path)


def one(number: int, text: str = "v1", **changes: Any) -> dict[str, Any]:
    return record(vendor_ids={"test": f"r{number}"}, event_at=EVENT, data={"text": text}, **changes)


def many(count: int) -> list[dict[str, Any]]:
    return [one(number, type=TYPES[number % len(TYPES)]) for number in range(count)]


def versions(stack: Stack, client: HttpClient) -> dict[int, int]:
    """How many records of the workspace have each version, once all batches have landed."""
    settle(stack, client)
    rows = stack.rows(
        "SELECT r.version, count(*) FROM lake_record r JOIN ingest_workspace w ON w.id = r.workspace_id "
        "WHERE w.name = %s GROUP BY 1",
        client.workspace,
    )
    return dict(rows)


def settle(stack: Stack, client: HttpClient) -> None:
    landing = (
        "SELECT count(*) FROM ingest_batch b JOIN ingest_workspace w ON w.id = b.workspace_id "
        "WHERE w.name = %s AND b.status = 'LANDING'"
    )
    until(lambda: stack.rows(landing, client.workspace) == [(0,)], "every batch has landed", seconds=240)


def batch_count(stack: Stack, client: HttpClient) -> int:
    statement = "SELECT count(*) FROM ingest_batch b JOIN ingest_workspace w ON w.id = b.workspace_id WHERE w.name = %s"
    return int(stack.rows(statement, client.workspace)[0][0])


def texts(client: HttpClient) -> list[str]:
    return [row["record"]["data"]["text"] for row in client.records()]


def test_rejected_records_are_mended_and_sent_with_the_printed_command(evermuse: Evermuse) -> None:
    broken = '{"_type": "message", "data": '
    path = write_lines(evermuse.directory / "calls.ndjson", [one(1), one(2, nature="odd"), one(3, project_ids=["no"])])
    path.write_text(path.read_text() + broken + "\n")
    printed = evermuse.run("send", path, code=1)
    assert "4 records read: 1 accepted" in printed and "3 rejected" in printed
    rejected = evermuse.directory / "calls.ndjson.rejected.ndjson"
    lines = [json.loads(line) for line in rejected.read_text().splitlines()]
    found = {line["record"]: line for line in lines}
    assert [found[n]["errors"][0]["pointer"] for n in (1, 2, 3)] == ["/_nature", "/_project_ids/0", ""]
    assert found[3]["payload"] == broken.strip() and found[1]["payload"]["data"] == {"text": "v1"}
    assert str(rejected) in printed.splitlines()[-1]
    found[1]["payload"]["_nature"] = "context"
    found[2]["payload"]["_project_ids"] = ["proj-123"]
    found[3]["payload"] = json.dumps(one(4))
    write_lines(rejected, lines)
    assert "3 records read: 3 accepted" in evermuse.paste(printed)
    assert len(evermuse.client.batch_ids()) >= 2


@pytest.mark.parametrize("keeps_state", [True, False])
def test_killed_runs_lose_nothing_and_change_nothing_twice(stack: Stack, tmp_path: Path, keeps_state: bool) -> None:
    client = stack.new_client(rate_limit=12)
    evermuse = Evermuse(client, tmp_path)
    path = write_lines(tmp_path / "all.ndjson", [*many(12_000), one(1, nature="odd")])
    for _ in range(4):
        sending = evermuse.start("send", path)
        before, wanted = batch_count(stack, client), random.randint(0, 3)
        until(
            lambda: batch_count(stack, client) >= before + wanted or sending.poll() is not None,  # noqa: B023
            "some batches were accepted",
        )
        time.sleep(random.random() / 10)
        sending.kill()
        sending.communicate()
        if not keeps_state:
            shutil.rmtree(tmp_path / "config", ignore_errors=True)
    counts = evermuse.counts(path, code=1)
    assert counts["read"] == 12_001 == counts["accepted"] + counts["current"] + counts["rejected"]
    assert (counts["rejected"], counts["replaced"]) == (1, 0)
    assert len((tmp_path / "all.ndjson.rejected.ndjson").read_text().splitlines()) == 1
    assert versions(stack, client) == {1: 12_000}


def test_parallel_senders_of_one_file_repeat_nothing_and_keep_the_rate(stack: Stack, tmp_path: Path) -> None:
    client = stack.new_client(rate_limit=6)
    evermuse = Evermuse(client, tmp_path)
    path = write_lines(tmp_path / "all.ndjson", many(4500))
    senders = [evermuse.start("send", path, "--json") for _ in range(2)]
    for sender in senders:
        printed, errors = sender.communicate(timeout=200)
        assert sender.returncode == 0, printed + errors
        counts = json.loads(printed)
        assert counts["accepted"] + counts["current"] == 4500
    assert versions(stack, client) == {1: 4500}


def test_server_that_is_away_ends_with_3_and_the_command_to_continue(client: HttpClient, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "some file.ndjson", [one(1)])
    away = HttpClient(f"http://127.0.0.1:{free_port()}", client.key, client.workspace)
    printed = Evermuse(away, tmp_path).run("send", path, "--patience", "0.3", code=3)
    assert "1 accepted" in Evermuse(client, tmp_path).paste(printed)


def test_refused_key_ends_with_3_and_wrong_usage_with_2(evermuse: Evermuse) -> None:
    path = write_lines(evermuse.directory / "a.ndjson", [one(1)])
    evermuse.run("send", "no-such-file", code=2)
    evermuse.more = {"EVERMUSE_API_KEY": "em_sk_" + "x" * 40}
    evermuse.run("send", path, code=3)
    evermuse.more = {"EVERMUSE_API_KEY": ""}
    evermuse.run("send", path, code=2)


def test_interrupted_run_ends_with_4_and_the_printed_command_continues_it(stack: Stack, tmp_path: Path) -> None:
    client = stack.new_client(rate_limit=2)
    evermuse = Evermuse(client, tmp_path)
    path = write_lines(tmp_path / "all.ndjson", many(8000))
    sending = evermuse.start("send", path)
    until(lambda: batch_count(stack, client) > 1, "two batches were accepted")
    sending.send_signal(signal.SIGINT)
    printed, _ = sending.communicate(timeout=200)
    assert sending.returncode == 4
    assert "8,000 records read: 8,000 accepted" in evermuse.paste(printed)
    assert versions(stack, client) == {1: 8000}


def test_order_of_versions_in_a_file_is_kept(stack: Stack, evermuse: Evermuse) -> None:
    filling = many(1500)
    lines = [one(0, "v1"), *filling[3:600], one(0, "v2", product_id="prod-abc"), *filling[600:], one(0, "v1")]
    path = write_lines(evermuse.directory / "all.ndjson", lines)
    assert evermuse.counts(path)["accepted"] == len(lines)
    settle(stack, evermuse.client)
    (found,) = evermuse.client.records(vendor_id="test:r0")
    assert found["record"]["data"]["text"] == "v1"
    # Without the state the versions between are sent again if the server never stored them, and the order is kept.
    shutil.rmtree(evermuse.directory / "config")
    counts = evermuse.counts(path)
    assert counts["current"] >= len(lines) - 2
    assert counts["accepted"] + counts["current"] + counts["replaced"] == len(lines)
    settle(stack, evermuse.client)
    (again,) = evermuse.client.records(vendor_id="test:r0")
    assert (again["record"]["data"]["text"], again["version"]) == ("v1", found["version"])


def test_old_file_undoes_newer_versions_only_on_purpose(stack: Stack, evermuse: Evermuse) -> None:
    first = write_lines(evermuse.directory / "first.ndjson", [one(1, "v1"), one(2, "same")])
    second = write_lines(evermuse.directory / "second.ndjson", [one(1, "v2")])
    evermuse.run("send", first)
    evermuse.run("send", second)
    printed = evermuse.run("send", first)
    assert "1 there already, 1 replaced by newer versions" in printed
    settle(stack, evermuse.client)
    assert sorted(texts(evermuse.client)) == ["same", "v2"]
    assert "1 accepted" in evermuse.paste(printed)
    settle(stack, evermuse.client)
    assert sorted(texts(evermuse.client)) == ["same", "v1"]


def test_files_that_records_name_are_uploaded_once(stack: Stack, evermuse: Evermuse) -> None:
    files = evermuse.directory / "files"
    files.mkdir()
    (files / "notes.txt").write_text("Asks for an export.")
    (files / "logo.txt").write_text("A logo.")
    entries = [{"type": "text", "filename": "notes.txt"}, {"type": "text", "vendor_url": "file:logo.txt"}]
    path = write_lines(
        evermuse.directory / "notes.ndjson",
        [one(1, attachments=entries), one(2, attachments=[{"type": "text", "filename": "../notes.ndjson"}])],
    )
    counts = evermuse.counts(path, "--attach", files, "--wait")
    assert (counts["accepted"], counts["uploadedFiles"], counts["missingFiles"], counts["failedFiles"]) == (2, 2, 1, 0)
    (batch,) = counts["batchIds"]
    ledger = evermuse.client.pages(f"/api/v1/ingest/batches/{batch}/attachments", "attachments")
    assert [(row["state"], row["filename"]) for row in ledger] == [("COMPLETE", "notes.txt"), ("COMPLETE", "logo.txt")]
    shutil.rmtree(evermuse.directory / "config")
    again = evermuse.counts(path, "--attach", files)
    assert (again["current"], again["accepted"], again["uploadedFiles"]) == (2, 0, 0)
    (files / "notes.txt").write_text("Asks for another export.")
    changed = evermuse.counts(path, "--attach", files, "--overwrite", "--wait")
    assert (changed["current"], changed["accepted"]) == (1, 1)
    (files / "notes.txt").write_text("Asks for a third export.")
    held = evermuse.counts(path, "--attach", files, code=1)
    assert (held["current"], held["accepted"], held["replaced"], held["held"]) == (1, 0, 0, 1)
    printed = evermuse.run("send", path, "--attach", files, code=1)
    assert "1 record not sent: the server has another version" in printed
    assert "1 accepted" in evermuse.paste(printed)


@pytest.mark.parametrize("more", [0, 100])
def test_files_of_records_that_are_there_already_are_followed(evermuse: Evermuse, more: int) -> None:
    missing = [{"type": "file", "vendor_url": f"{evermuse.client.url}/no.pdf"}]
    records = [one(1, attachments=missing), one(2, attachments=missing * 2), one(3)]
    records += [one(10 + number, attachments=missing) for number in range(more)]
    path = write_lines(evermuse.directory / "files.ndjson", records)
    (batch,) = evermuse.counts(path, "--wait", code=1)["batchIds"]
    again = evermuse.counts(path, "--wait", code=1)
    assert (again["current"], again["batchIds"], again["failedFiles"]) == (3 + more, [], 3 + more)
    assert f"retry {batch}" in again["continue"]
    other = write_lines(evermuse.directory / "other.ndjson", [records[0], records[2]])
    assert evermuse.counts(other, "--wait", code=1)["failedFiles"] == 1
    assert evermuse.counts(write_lines(evermuse.directory / "none.ndjson", records[2:3]), "--wait")["failedFiles"] == 0


def test_records_come_from_pipes_arrays_compressed_files_and_directories(evermuse: Evermuse) -> None:
    folder = evermuse.directory / "folder"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps([one(1), one(2)], indent=2))
    (folder / "b.json").write_text(json.dumps({"records": [one(3)]}, indent=1))
    write_lines(folder / "c.ndjson", [one(4), one(5)])
    subprocess.run(["gzip", folder / "c.ndjson"], check=True)
    (folder / "readme.txt").write_text("no records")
    assert evermuse.counts(folder, "--wait")["accepted"] == 5
    piped = evermuse.counts("-", "--limit", "1", input=f"{json.dumps(one(6))}\n{json.dumps(one(7))}\n")
    assert (piped["read"], piped["accepted"]) == (1, 1)
    whole, cut = evermuse.directory / "cut.ndjson.gz", (folder / "c.ndjson.gz").read_bytes()[:-9]
    whole.write_bytes(cut)
    assert evermuse.counts(whole, code=1)["unreadable"]


def test_run_reads_back_what_it_sent(stack: Stack, evermuse: Evermuse) -> None:
    path = write_lines(evermuse.directory / "a.ndjson", [one(1), one(2), one(3, project_ids=["no"])])
    counts = evermuse.counts(path, "--wait", code=1)
    (batch,) = counts["batchIds"]
    assert f"{batch}  COMPLETE" in evermuse.run("batches")
    assert json.loads(evermuse.run("status", batch, "--json", code=1))["rejectedCount"] == 1
    assert json.loads(evermuse.run("errors"))["index"] == 2
    rows = [json.loads(line) for line in evermuse.run("records", "--type", "message").splitlines()]
    assert len(rows) == 2
    assert json.loads(evermuse.run("get", rows[0]["recordId"])) == rows[0]
    evermuse.run("get", "rec_none", code=3)
    assert "--follow" in evermuse.run("retry", batch)


def test_login_keeps_the_key_for_its_owner_alone(evermuse: Evermuse) -> None:
    evermuse.more = {"EVERMUSE_API_KEY": "", "EVERMUSE_URL": ""}
    printed = evermuse.run("login", "--url", evermuse.client.url, input=evermuse.client.key + "\n")
    assert "prod-abc" in printed and evermuse.client.key not in printed
    stored = evermuse.directory / "config" / "profiles.json"
    assert stored.stat().st_mode & 0o777 == 0o600
    assert evermuse.run("batches") == ""
    evermuse.run("login", "--url", evermuse.client.url, input="em_sk_wrong\n", code=3)


def test_export_prints_changes_and_removals_once_they_are_there(stack: Stack, evermuse: Evermuse) -> None:
    state, copy = evermuse.directory / "copy.json", evermuse.directory / "copy.ndjson"
    evermuse.run("send", write_lines(evermuse.directory / "a.ndjson", [one(1), one(2)]), "--wait")

    def export() -> list[dict[str, Any]]:
        copy.unlink(missing_ok=True)
        evermuse.run("export", "--state", state, "--output", copy)
        return [json.loads(line) for line in copy.read_text().splitlines()]

    assert len(export()) == 2
    assert export() == []
    evermuse.run("send", write_lines(evermuse.directory / "b.ndjson", [one(2, "v2")]), "--wait")
    (changed,) = export()
    assert changed["record"]["data"]["text"] == "v2"
    stack.rows(
        "INSERT INTO lake_removedrecord (workspace_id, record_id, removed_at, reason) "
        "SELECT id, gen_random_uuid(), clock_timestamp(), 'operator' FROM ingest_workspace WHERE name = %s RETURNING 1",
        evermuse.client.workspace,
    )
    assert [row["reason"] for row in export() if "removedAt" in row] == ["operator"]
    evermuse.run("export", "--state", state, "--type", "call", code=2)
