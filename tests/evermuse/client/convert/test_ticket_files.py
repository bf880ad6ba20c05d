"""Files of tickets as scripts and copying tools write them: sorted keys, wrapped rows, broken lines."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evermuse.client.convert import json_values
from tests.evermuse.client.convert.running import run
from tests.evermuse.client.convert.test_tickets import COMMENT, TALK, TICKET, USERS, write

PAGE = {"page": 2, "starting_after": "x"}
FLAT_TALK = TALK | {"contacts": [{"type": "lead", "id": "u"}]}
UNTYPED_TALK = {name: FLAT_TALK[name] for name in ("id", "created_at", "source")}


@pytest.mark.parametrize(
    ("format", "content"),
    [
        ("intercom", json.dumps(FLAT_TALK, sort_keys=True)),
        ("intercom", json.dumps([FLAT_TALK], sort_keys=True, indent=1)),
        ("intercom", json.dumps(FLAT_TALK, sort_keys=True) + "\n" + json.dumps(FLAT_TALK | {"id": "8"}, sort_keys=True)),
        ("intercom", {"conversations": [FLAT_TALK], "pages": {"type": "pages", "next": PAGE}, "type": "conversation.list"}),
        ("intercom", UNTYPED_TALK),
        ("intercom", {"type": "notification_event", "id": "n", "topic": "conversation.read", "app_id": "a", "links": {}, "data": {"type": "notification_event_data", "item": FLAT_TALK}}),
        ("intercom", {"type": "RECORD", "stream": "conversations", "record": FLAT_TALK}),
        ("intercom", TALK | {"conversation_parts": {"data": TALK["conversation_parts"]["conversation_parts"]}}),
        ("zendesk", json.dumps(TICKET | {"comments": [COMMENT]}, sort_keys=True)),
        ("zendesk", json.dumps([TICKET | {"comments": [COMMENT]}], sort_keys=True, indent=1)),
        ("zendesk", {"ticket": TICKET, "users": USERS, "groups": [], "organizations": [], "brands": [], "metric_sets": []}),
        ("zendesk", {"users": USERS, "ticket": TICKET}),
        ("zendesk", {"requests": [TICKET], "next_page": None}),
        ("zendesk", {"_airbyte_ab_id": "x", "_airbyte_emitted_at": 1, "_airbyte_data": TICKET}),
        ("zendesk", TICKET | {"comments": "none", "tags": 5, "collaborator_ids": 7, "id": 1.0}),
    ],
)  # fmt: skip
def test_no_ticket_is_lost_in_files_of_other_tools(tmp_path: Path, format: str, content: Any) -> None:
    done = run(format, *write(tmp_path, {"all.json": content}), folder=tmp_path)
    ids = [(*record["_vendor_ids"].values(),) for record in done.records]
    assert (ids[0], done.rejects) == (("1",) if format == "zendesk" else ("7",), [])
    assert done.writer.read == (2 if isinstance(content, str) and "\n{" in content else 1)


def test_people_inside_a_ticket_give_names_and_roles(tmp_path: Path) -> None:
    people = {"requester": USERS[0], "submitter": {"id": 8, "name": "Sue", "email": "sue@x.example"}}
    ticket = TICKET | people | {"collaborator": [USERS[1]]}
    (record,) = run("zendesk", *write(tmp_path, {"all.json": ticket}), folder=tmp_path).records
    assert [(one["id"], one.get("name"), one["role"]) for one in record["_participants"]] == [
        ("5", "Ann", "external"), ("8", "Sue", "unknown"), ("6", "Bob", "internal"),
    ]  # fmt: skip


def test_assignees_and_customers_of_a_conversation_are_participants(tmp_path: Path) -> None:
    talk = UNTYPED_TALK | {
        "admin_assignee_id": 814, "assignee": {"type": "admin", "id": "z", "name": "Zoe"},
        "customers": [{"type": "lead", "id": "c"}], "user": {"type": "user", "id": "u"},
    }  # fmt: skip
    (record,) = run("intercom", *write(tmp_path, {"all.json": talk}), folder=tmp_path).records
    assert {one["id"]: one["role"] for one in record["_participants"]} == {
        "u": "external", "c": "external", "z": "internal", "814": "internal",
    }  # fmt: skip


def test_broken_line_is_rejected_alone(tmp_path: Path) -> None:
    whole = json.dumps(TICKET)
    lines = [
        whole,
        whole[:40],
        "oops",
        json.dumps(TICKET | {"id": 2}),
        "17",
        '{"id": 3, "subject": "a',
        json.dumps(TICKET | {"id": 4}),
    ]
    (file,) = write(tmp_path, {"all.ndjson": "\n".join(lines) + "\n"})
    done = run("zendesk", file, folder=tmp_path)
    assert [record["_vendor_ids"]["zendesk_ticket_id"] for record in done.records] == ["1", "2", "4"]
    content = file.read_text()
    assert [content[one["offset"] :].split("\n")[0] for one in done.rejects] == [whole[:40], "oops", "17", lines[5]]


@given(st.integers(0, 60), st.sampled_from([8, 16, 64, 4096]), st.booleans())
@settings(max_examples=100, deadline=None)
def test_own_id_of_an_item_is_found_after_its_arrays(
    tmp_path_factory: pytest.TempPathFactory, size: int, block: int, has_id: bool
) -> None:
    inner = {"id": 1, 'a"b': ["\\", {"id": 2}], "text": "x" * size}
    item = {"comments": [inner, inner], "more": {"id": 5, "k": "id"}} | ({"id": 9} if has_id else {"x": "id"})
    file = tmp_path_factory.mktemp("json") / "x.json"
    file.write_text(json.dumps(item, indent=1))
    before, json_values.BLOCK_BYTES = json_values.BLOCK_BYTES, block
    try:
        found = [json.loads(value.raw) for value in json_values.objects_in(file, ("comments",))]
    finally:
        json_values.BLOCK_BYTES = before
    assert found == ([item] if has_id else [inner, inner])


@pytest.mark.parametrize("block", [1, 7, 1024])
@pytest.mark.parametrize(
    ("content", "rejected"),
    [
        ('["x", 7]', ['"x"', "7"]),
        ('[%s, "x,]", -7.5e3, null, %s,true]', ['"x,]"', "-7.5e3", "null", "true"]),
        ('[[1, {"id": 3}], %s, []]', ['[1, {"id": 3}]', "[]"]),
        ('{"tickets": ["x", %s, 7, [%s]], "count": 4, "names": ["y"]}', ['"x"', "7", "[TICKET]"]),
        ('{"count": 2, "tickets": [7], "users": [null, {"id": 5}]}\n', ["7", "null"]),
        ("%s\n\ufeff%s\n[8]\n", ["8"]),
        ("%s rest of 2 texts", ["rest", "of", "2", "texts"]),
        ('%s "open', ['"open']),
    ],
)
def test_value_that_is_no_object_is_rejected_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, rejected: list[str], block: int
) -> None:
    monkeypatch.setattr(json_values, "BLOCK_BYTES", block)
    tickets = [json.dumps(TICKET | {"id": number}) for number in range(content.count("%s"))]
    text = content % tuple(tickets)
    (file,) = write(tmp_path, {"all.json": text})
    done = run("zendesk", file, folder=tmp_path)
    inside = len(tickets) - any("TICKET" in one for one in rejected)
    assert [record["_vendor_ids"]["zendesk_ticket_id"] for record in done.records] == [str(n) for n in range(inside)]
    raw = file.read_bytes()
    shown = [raw[one["offset"] :][: one["length"]].decode() for one in done.rejects]
    assert shown == [one.replace("TICKET", tickets[-1]) if tickets else one for one in rejected]
