"""Zendesk tickets with their comments, from the answers of its API: lists, incremental exports, single tickets, NDJSON.

A ticket's comments are inside it (``comments``), or in separate answers of ``/tickets/ID/comments``, where each comment has
the ticket's id. Users come from ``users``, which the API can return together with tickets.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from evermuse.client.convert import instants
from evermuse.client.convert.format import ConvertOptions, NotConvertible
from evermuse.client.convert.people import People
from evermuse.client.convert.records import record_line
from evermuse.client.convert.tickets import (
    CUSTOMER,
    ROWS,
    STAFF,
    Item,
    TicketFormat,
    attachments_of,
    text_of,
    values_in,
)

_PEOPLE = {"end-user": CUSTOMER, "agent": STAFF, "admin": STAFF}
_KINDS = {
    "tickets": "item",
    "ticket": "item",
    "requests": "item",
    "request": "item",
    "results": "item",
    "comments": "part",
    "users": "person",
}


class Zendesk(TicketFormat):
    """Converts tickets."""

    arrays = ("tickets", "requests", "comments", "users", "results")
    wrappers = ("ticket", "request", "comment", "user", *ROWS)

    def kind_of(self, key: str, value: Mapping[str, Any]) -> str:
        if key in _KINDS and "requester_id" not in value and "subject" not in value:
            return _KINDS[key] if key != "results" else "other"
        if "requester_id" in value or "subject" in value or ("status" in value and "description" in value):
            return "item"
        if "author_id" in value and ("body" in value or "html_body" in value or "plain_body" in value):
            return "part"
        return "person" if "email" in value and "name" in value and "role" in value else "other"

    def owner_of(self, part: Mapping[str, Any]) -> str:
        return text_of(part.get("ticket_id"))

    def line(self, item: Item, people: Mapping[str, Mapping[str, Any]], options: ConvertOptions) -> bytes:
        ticket = item.value
        id = text_of(ticket.get("id"))
        if not id:
            raise NotConvertible("the ticket has no id")
        event_at = instants.from_iso(text_of(ticket.get("created_at")))
        if event_at is None:
            raise NotConvertible("created_at of the ticket is missing or not a date")
        comments = [one for one in values_in(ticket.get("comments")) if isinstance(one, dict)] + item.part_values
        data: dict[str, Any] = {"ticket": msgspec.Raw(item.raw)}
        if item.parts:
            data["comments"] = [msgspec.Raw(raw) for raw in item.parts]
        return record_line(
            options,
            type="conversation",
            event_at=event_at,
            vendor_ids={"zendesk_ticket_id": id},
            thread_id=f"zendesk:{id}",
            participants=_participants(ticket, comments, people, options).entries,
            attachments=attachments_of(comments, filename="file_name", url="content_url", size="size"),
            tags=[text_of(tag) for tag in values_in(ticket.get("tags"))],
            data=data,
        )


def _participants(
    ticket: Mapping[str, Any],
    comments: list[Mapping[str, Any]],
    users: Mapping[str, Mapping[str, Any]],
    options: ConvertOptions,
) -> People:
    people = People(options.internal_domains)
    names = ("requester_id", "submitter_id", "assignee_id")
    ids = [text_of(ticket.get(name)) for name in names]
    ids += [text_of(one) for one in values_in(ticket.get("collaborator_ids"))]
    ids += [text_of(one) for one in values_in(ticket.get("follower_ids"))]
    ids += [text_of(one) for one in values_in(ticket.get("email_cc_ids"))]
    ids += [text_of(one.get("author_id")) for one in comments]
    # Exports of an account have the people themselves in the tickets.
    given = [ticket.get(name) for name in ("requester", "submitter", "assignee")]
    given += [*values_in(ticket.get("collaborator")), *values_in(ticket.get("collaborators"))]
    inside = {text_of(one.get("id")): one for one in given if isinstance(one, dict)}
    ids += inside
    for id in dict.fromkeys(ids):
        if not id or id == "-1":
            # -1 is Zendesk itself.
            continue
        user = {**inside.get(id, {}), **users.get(id, {})}
        role, type = _PEOPLE.get(text_of(user.get("role")), ("", ""))
        people.add(
            id=id,
            name=text_of(user.get("name")),
            email=text_of(user.get("email")),
            role=role,
            type=type,
        )
    for one in given:
        if isinstance(one, dict) and not text_of(one.get("id")):
            people.add(name=text_of(one.get("name")), email=text_of(one.get("email")))
    return people


ZENDESK = Zendesk()
