"""Zendesk and Intercom: every shape in which their APIs give tickets and conversations."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evermuse.client.convert import json_values
from tests.evermuse.client.convert.running import run

TICKET = {
    "url": "https://x.example/1.json",
    "id": 1,
    "subject": "Help",
    "created_at": "2024-01-01T10:00:00Z",
    "requester_id": 5,
    "tags": ["vip"],
}
COMMENT = {
    "id": 9,
    "type": "Comment",
    "author_id": 6,
    "body": "Hello",
    "attachments": [
        {"file_name": "a.png", "content_url": "https://x.example/a.png", "size": 3, "content_type": "image/png"}
    ],
}
USERS = [
    {"id": 5, "name": "Ann", "email": "ann@x.example", "role": "end-user"},
    {"id": 6, "name": "Bob", "email": "bob@acme.example", "role": "agent"},
]
TALK: dict[str, Any] = {
    "type": "conversation", "id": "7", "created_at": 1700000000,
    "source": {"type": "conversation", "body": "<p>Hi</p>", "author": {"type": "user", "id": "u", "name": "Ann", "email": "ann@x.example"}, "attachments": [{"type": "upload", "name": "a.png", "url": "https://x.example/a.png", "content_type": "image/png", "filesize": 3}]},
    "contacts": {"type": "contact.list", "contacts": [{"type": "contact", "id": "u"}]},
    "tags": {"type": "tag.list", "tags": [{"type": "tag", "id": "1", "name": "vip"}]},
    "conversation_parts": {"type": "conversation_part.list", "conversation_parts": [{"type": "conversation_part", "id": "1", "part_type": "comment", "body": "x", "author": {"type": "admin", "id": "z", "name": "Zoe"}, "attachments": []}]},
}  # fmt: skip


def write(folder: Path, files: dict[str, Any]) -> list[Path]:
    for name, content in files.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
    return [folder / name for name in files]


@pytest.mark.parametrize(
    "files",
    [
        {"all.json": {"tickets": [TICKET], "users": USERS, "groups": [{"id": 3}], "end_of_stream": True}, "ticket_1.json": {"comments": [COMMENT], "count": 1}},
        {"t.json": {"ticket": TICKET}, "u.json": {"users": USERS}, "c.json": {"comments": [COMMENT | {"ticket_id": 1}]}},
        {"t.ndjson": "\ufeff" + json.dumps(TICKET | {"comments": [COMMENT]}) + "\r\n\r\n", "u.ndjson": "\n".join(map(json.dumps, USERS))},
        {"t.json": [TICKET | {"comments": [COMMENT]}], "u.json": [{"users": USERS}]},
        {"t.json": {"results": [TICKET | {"result_type": "ticket"}], "count": 1}, "ticket_1_c.json": [COMMENT], "u.json": USERS},
    ],
)  # fmt: skip
def test_zendesk_tickets_are_found_in_every_shape(tmp_path: Path, files: dict[str, Any]) -> None:
    done = run("zendesk", *write(tmp_path, files), folder=tmp_path)
    assert not done.rejects
    (record,) = done.records
    assert (record["_vendor_ids"], record["_event_at"], record["_tags"]) == (
        {"zendesk_ticket_id": "1"},
        "2024-01-01T10:00:00Z",
        ["vip"],
    )
    assert {(one["id"], one["role"], one["name"]) for one in record["_participants"]} == {
        ("5", "external", "Ann"),
        ("6", "internal", "Bob"),
    }
    assert record["_attachments"][0]["vendor_url"] == "https://x.example/a.png"
    comments = record["data"].get("comments") or record["data"]["ticket"]["comments"]
    assert comments[0]["body"] == "Hello"


@pytest.mark.parametrize(
    "content",
    [
        {
            "type": "conversation.list",
            "pages": {"type": "pages", "next": {"x": [{"a": 1}]}},
            "conversations": [TALK],
            "total_count": 1,
        },
        {"type": "list", "data": [TALK]},
        TALK,
        {"type": "notification_event", "item": TALK},
        [TALK],
        json.dumps(TALK) + "\n" + json.dumps(TALK) + "\n",
        [{"conversations": [TALK]}, {"conversations": []}],
    ],
)
def test_intercom_conversations_are_found_in_every_shape(tmp_path: Path, content: Any) -> None:
    done = run("intercom", *write(tmp_path, {"c.json": content}), folder=tmp_path)
    (record,) = done.records
    assert done.writer.failed == 0
    assert record["data"]["conversation"] == TALK
    assert (record["_vendor_ids"], record["_event_at"], record["_tags"]) == (
        {"intercom_conversation_id": "7"},
        "2023-11-14T22:13:20Z",
        ["vip"],
    )
    assert {(one["id"], one["role"]) for one in record["_participants"]} == {("u", "external"), ("z", "internal")}


@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "utf-16-le", "utf-16-be"])
def test_json_in_utf_16_is_read_with_and_without_a_byte_order_mark(tmp_path: Path, codec: str) -> None:
    file = tmp_path / "t.json"
    file.write_bytes(json.dumps([TICKET | {"subject": "一緒に"}], ensure_ascii=False).encode(codec))
    assert run("zendesk", file, folder=tmp_path).records[0]["data"]["ticket"]["subject"] == "一緒に"


def test_numbers_and_order_of_the_sources_json_are_kept(tmp_path: Path) -> None:
    raw = '{"id": 1, "requester_id": 5, "created_at": "2024-01-01T10:00:00Z", "z": 1.0, "a": 12345678901234567890123, "z": 2}'
    (line,) = run("zendesk", *write(tmp_path, {"t.json": raw}), folder=tmp_path).lines
    assert raw.encode() in line


def test_tickets_that_cannot_be_converted_are_rejected_with_their_place(tmp_path: Path) -> None:
    files = {
        "t.json": [TICKET, TICKET | {"id": None}, TICKET | {"id": 2, "created_at": "soon"}, {"what": 1}],
        "cut.json": json.dumps({"tickets": [TICKET | {"id": 3}, TICKET | {"id": 4}]})[:-40],
        "text.json": "no json",
        "c.json": {"comments": [COMMENT | {"ticket_id": 99}]},
    }
    paths = write(tmp_path, files)
    done = run("zendesk", *paths, folder=tmp_path)
    assert [one["_vendor_ids"]["zendesk_ticket_id"] for one in done.records] == ["1", "3"]
    assert len(done.rejects) == 6
    for reject in done.rejects[:3]:
        assert paths[0].read_bytes()[reject["offset"] :].startswith(b"{")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(
    st.lists(st.dictionaries(st.sampled_from(["id", "a", "b"]), JSON, max_size=3), max_size=5),
    st.sampled_from(["frame", "array", "lines"]),
    st.integers(1, 50),
)
@settings(max_examples=150, deadline=None)
def test_objects_are_split_unchanged_for_any_block_size(
    tmp_path_factory: pytest.TempPathFactory, objects: list[Any], shape: str, block: int
) -> None:
    file = tmp_path_factory.mktemp("json") / "x.json"
    text = {
        "frame": json.dumps({"next": None, "items": objects, "count": 3}),
        "array": json.dumps(objects, indent=2),
        "lines": "\n".join(map(json.dumps, objects)),
    }[shape]
    file.write_text(text)
    before, json_values.BLOCK_BYTES = json_values.BLOCK_BYTES, block
    try:
        found = list(json_values.objects_in(file, ("items",)))
    finally:
        json_values.BLOCK_BYTES = before
    assert [json.loads(value.raw) for value in found] == objects
    assert all(text.encode()[value.offset :].startswith(value.raw) and value.is_whole for value in found)


@pytest.mark.parametrize("format", ["zendesk", "intercom"])
def test_lone_surrogates_in_ids_and_names_do_not_stop_the_run(tmp_path: Path, format: str) -> None:
    half = "\ud83d"
    person = {"id": half, "name": half, "email": f"{half}@x.example"}
    tickets = [
        {"id": number, "created_at": 1700000000 if format == "intercom" else "2024-01-01T10:00:00Z", "subject": half,
         "requester_id": half, "source": {"body": half, "author": person}}
        for number in (1, 2)
    ]  # fmt: skip
    if format == "intercom":
        tickets = [{"type": "conversation", **ticket} for ticket in tickets]
    file = tmp_path / "all.json"
    file.write_text(json.dumps({"conversations" if format == "intercom" else "tickets": tickets, "users": [person]}))
    done = run(format, file, folder=tmp_path)
    assert (len(done.records), done.rejects) == (2, [])
