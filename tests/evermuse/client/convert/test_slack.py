"""Slack exports in a directory or zip file."""

import json
import tracemalloc
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from evermuse.client.convert import UsageError, instants
from evermuse.client.convert.slack import IGNORED
from tests.evermuse.client.convert.running import run

USERS = [
    {"id": "U1", "name": "ann", "profile": {"real_name": "Ann A", "email": "ann@acme.example"}},
    {"id": "U2", "name": "bob", "profile": {"email": "bob at nowhere"}},
    {"id": "U3", "name": "robot", "is_bot": True, "profile": {}},
]


def message(text: str, ts: str, user: str = "U1", **more: Any) -> dict[str, Any]:
    return {"type": "message", "user": user, "text": text, "ts": ts, **more}


def export(folder: Path, days: dict[str, Any]) -> Path:
    lists: dict[str, Any] = {
        "users.json": USERS,
        "channels.json": [{"id": "C1", "name": "general"}],
        "dms.json": [{"id": "D1", "members": ["U1", "U2"]}],
        "groups.json": [{"id": "G1", "name": "private"}],
        "mpims.json": [{"id": "M1", "name": "mpdm-ann--bob-1"}],
        "integration_logs.json": [{"a": 1}],
    }
    for name, content in {**lists, **days}.items():
        target = folder / "export" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
    return folder / "export"


def test_thread_over_several_days_is_one_record_with_edits_and_deletions(tmp_path: Path) -> None:
    root = message("plan?", "1700000000.000100", thread_ts="1700000000.000100", reply_count=1)
    path = export(
        tmp_path,
        {
            "general/2023-11-14.json": [root, message("alone", "1700000100.0")],
            "general/2023-11-16.json": [
                message(
                    "yes",
                    "1700170000.1",
                    "U2",
                    thread_ts="1700000000.000100",
                    edited={"user": "U1", "ts": "1700170001.0"},
                ),
                {"type": "message", "subtype": "message_deleted", "ts": "1700170002.0", "deleted_ts": "1700000100.0"},
                {"type": "message", "subtype": "message_changed", "ts": "1700170003.0", "message": root},
                {
                    "type": "message",
                    "subtype": "bot_message",
                    "bot_id": "B9",
                    "username": "CI",
                    "text": "ok",
                    "ts": "1700170004.0",
                },
            ],
        },
    )
    records = run("slack", path, folder=tmp_path, internal_domains=("acme.example",)).records
    assert [len(one["data"]["messages"]) for one in records] == [3, 2, 1]
    assert records[0]["_vendor_ids"] == {"slack_channel_id": "C1", "slack_thread_ts": "1700000000.000100"}
    assert records[0]["data"]["messages"][0] == root
    assert {(one["id"], one["role"], one["type"]) for one in records[0]["_participants"]} == {
        ("U1", "internal", "user"), ("U2", "unknown", "user"),
    }  # fmt: skip
    assert records[2]["_participants"] == [{"id": "B9", "role": "unknown", "name": "CI", "type": "bot"}]


def test_every_kind_of_channel_is_read_from_a_zip_file_with_a_folder(tmp_path: Path) -> None:
    days = {
        f"{name}/2023-11-14.json": [message("x", "1700000000.1")]
        for name in ("general", "D1", "private", "mpdm-ann--bob-1", "unlisted")
    }
    path = export(tmp_path, days)
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for file in sorted(path.rglob("*.json")):
            target.write(file, f"My export/{file.relative_to(path)}")
    done = run("slack", archive, folder=tmp_path)
    assert {one["data"]["channel"]["kind"] for one in done.records} == {"channel", "dm", "group", "mpim"}
    assert sorted(one["_vendor_ids"]["slack_channel_id"] for one in done.records) == [
        "C1",
        "D1",
        "G1",
        "M1",
        "unlisted",
    ]
    assert done.lines == run("slack", path, folder=tmp_path).lines


def test_messages_and_files_that_cannot_be_read_are_rejected_by_themselves(tmp_path: Path) -> None:
    path = export(
        tmp_path,
        {
            "general/2023-11-14.json": [message("x", "1700000000.1"), {"text": "no ts"}, 7, message("y", "1e400")],
            "general/2023-11-15.json": "[{",
            "general/2023-11-16.json": {"no": "list"},
        },
    )
    done = run("slack", path, folder=tmp_path)
    assert (len(done.records), len(done.rejects)) == (1, 5)
    content = (path / "general/2023-11-14.json").read_bytes()
    assert (
        content[done.rejects[0]["offset"] :].startswith(b"{") and b"no ts" in content[done.rejects[0]["offset"] :][:40]
    )


def test_lone_surrogates_cost_no_message_of_a_day(tmp_path: Path) -> None:
    half = "\ud83d"
    days = {"general/2023-11-14.json": [message("x", "1700000000.1"), message(f"cut {half}", "1700000001.1", half), 7]}
    done = run("slack", export(tmp_path, days), folder=tmp_path)
    assert [one["data"]["messages"][0]["text"] for one in done.records] == ["x", f"cut {half}"]
    assert done.reasons == ["the message is not an object"]


def test_whole_messages_of_a_truncated_file_are_read(tmp_path: Path) -> None:
    text = json.dumps([message("x", "1700000000.1"), message("y", "1700000001.1"), message("z", "1700000002.1")])
    done = run("slack", export(tmp_path, {"general/2023-11-14.json": text[:-20]}), folder=tmp_path)
    assert [one["data"]["messages"][0]["text"] for one in done.records] == ["x", "y"]
    assert len(done.reasons) == 1 and "not a list of messages" in done.reasons[0]


def test_thread_that_reveals_a_bug_is_rejected_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from_epoch = instants.from_epoch

    def refuse(seconds: float) -> datetime | None:
        if seconds == 1700000000.1:
            raise LookupError("a bug")
        return from_epoch(seconds)

    monkeypatch.setattr(instants, "from_epoch", refuse)
    days = {"general/2023-11-14.json": [message("x", "1700000000.1"), message("y", "1700000001.1")]}
    done = run("slack", export(tmp_path, days), folder=tmp_path)
    assert (len(done.records), done.reasons) == (1, ["LookupError: a bug"])


def test_files_are_named_with_their_url_and_those_without_one_are_described(tmp_path: Path) -> None:
    files = [
        {"id": "F1", "name": "a.png", "mimetype": "image/png", "size": 9, "url_private": "https://files.example/a.png"},
        {"id": "F2", "mode": "tombstone"},
        {"id": "F3", "name": "b", "url_private": "not a url"},
    ]
    path = export(tmp_path, {"general/2023-11-14.json": [message("x", "1700000000.1", files=files)]})
    assert run("slack", path, folder=tmp_path).records[0]["_attachments"] == [
        {
            "type": "image",
            "filename": "a.png",
            "size": 9,
            "mime_type": "image/png",
            "vendor_url": "https://files.example/a.png",
        },
        {"type": "file"},
        {"type": "file", "filename": "b"},
    ]


def test_path_that_is_no_slack_export_is_refused_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK nonsense")
    with pytest.raises(UsageError, match="neither a directory nor a zip file"):
        run("slack", tmp_path / "x.zip", folder=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="not a Slack export"):
        run("slack", tmp_path / "empty", folder=tmp_path)


def test_author_of_a_comment_on_a_file_is_a_participant(tmp_path: Path) -> None:
    comment = {"type": "message", "subtype": "file_comment", "ts": "1486999900.000000", "comment": {"user": "U1"}}
    done = run("slack", export(tmp_path, {"general/2017-02-13.json": [comment]}), folder=tmp_path)
    assert [one["id"] for one in done.records[0]["_participants"]] == ["U1"]


def test_channels_of_the_teams_of_an_organization_are_read_and_other_files_are_counted(tmp_path: Path) -> None:
    path = export(
        tmp_path,
        {
            "general/2023-11-14.json": [message("root", "1700000000.1")],
            "org_users.json": [{"id": "U9", "name": "zoe"}],
            "canvases.json": [{"a": 1}],
            "teams/acme/users.json": USERS,
            "teams/acme/channels.json": [{"id": "C7", "name": "general"}],
            "teams/acme/integration_logs.json": [{"a": 1}],
            "teams/acme/general/2023-11-14.json": [message("team", "1700000001.1", "U9")],
            "teams/acme/general/canvas.json": [message("beside the days", "1700000002.1")],
            "teams/other/C8/2023-11-14.json": [message("unlisted", "1700000003.1")],
        },
    )
    done = run("slack", path, folder=tmp_path)
    found = {one["data"]["messages"][0]["text"]: one for one in done.records}
    ids = {text: one["_vendor_ids"]["slack_channel_id"] for text, one in found.items()}
    assert ids == {"root": "C1", "team": "C7", "beside the days": "C7", "unlisted": "teams/other/C8"}
    assert found["team"]["_participants"][0]["name"] == "zoe"
    # The integration logs of the organization and of the team, and the canvases.
    assert done.writer.notes[IGNORED] == 3


def test_teams_without_lists_of_the_organization_are_all_read(tmp_path: Path) -> None:
    for team in ("acme", "other"):
        folder = tmp_path / "export" / "teams" / team
        (folder / "general").mkdir(parents=True)
        (folder / "channels.json").write_text(json.dumps([{"id": f"C-{team}", "name": "general"}]))
        (folder / "general" / "2023-11-14.json").write_text(json.dumps([message(team, "1700000000.1")]))
    done = run("slack", tmp_path / "export", folder=tmp_path)
    assert sorted(one["_vendor_ids"]["slack_channel_id"] for one in done.records) == ["C-acme", "C-other"]


@pytest.mark.parametrize(("listed", "folder"), [("café", "cafe\u0301"), ("cafe\u0301", "café"), ("plain", "plain")])
def test_channel_is_found_whatever_system_wrote_the_zip_file(tmp_path: Path, listed: str, folder: str) -> None:
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w") as target:
        # As some programs for Windows write them.
        for name, content in {
            "channels.json": [{"id": "C1", "name": listed}],
            f"{folder}\\2024-01-01.json": [message("hi", "1704106800.0001")],
        }.items():
            target.writestr(name, json.dumps(content))
    done = run("slack", archive, folder=tmp_path)
    assert [record["_vendor_ids"]["slack_channel_id"] for record in done.records] == ["C1"]
    assert done.writer.notes == {}


def test_people_in_a_huddle_are_participants(tmp_path: Path) -> None:
    room = {"created_by": "U1", "participant_history": ["U1", "U2"], "participants": []}
    huddle = message("", "1704106800.0001", user="USLACKBOT", subtype="huddle_thread", room=room)
    path = export(tmp_path, {"general/2024-01-01.json": [huddle]})
    (record,) = run("slack", path, folder=tmp_path).records
    assert [one["id"] for one in record["_participants"]] == ["USLACKBOT", "U1", "U2"]


def test_zip_file_that_lies_about_a_size_is_read_in_bounded_memory(tmp_path: Path) -> None:
    archive, name = tmp_path / "export.zip", "general/2024-01-01.json"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr(name, b" " * 64_000_000)
    content = bytearray(archive.read_bytes())
    for header, size in ((content.index(b"PK\3\4"), 22), (content.index(b"PK\1\2"), 24)):
        content[header + size : header + size + 4] = (1000).to_bytes(4, "little")
    archive.write_bytes(content)
    tracemalloc.start()
    try:
        done = run("slack", archive, folder=tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [reject["file"] for reject in done.rejects] == [f"{archive}/{name}"]
    assert peak < 16_000_000
