"""Intercom conversations, from the answers of its API: lists, searches, single conversations, NDJSON."""

from collections.abc import Mapping
from typing import Any

import msgspec

from evermuse.client.convert import instants
from evermuse.client.convert.format import ConvertOptions, NotConvertible
from evermuse.client.convert.people import People
from evermuse.client.convert.records import record_line
from evermuse.client.convert.tickets import BOT, CUSTOMER, ROWS, STAFF, Item, TicketFormat, attachments_of, text_of

_PERSONS = frozenset({"contact", "user", "lead", "admin", "teammate", "visitor", "contact.reference"})
_PEOPLE = {
    **dict.fromkeys(("admin", "teammate", "team"), STAFF),
    **dict.fromkeys(("user", "lead", "contact", "visitor"), CUSTOMER),
    "bot": BOT,
}


class Intercom(TicketFormat):
    """Converts conversations."""

    arrays = ("conversations", "data", "contacts", "users", "admins")
    wrappers = ("conversation", "item", *ROWS)

    def kind_of(self, key: str, value: Mapping[str, Any]) -> str:
        kind = text_of(value.get("type"))
        if (
            kind == "conversation"
            or "conversation_parts" in value
            or "conversation_message" in value
            or (not kind and isinstance(value.get("source"), dict) and "created_at" in value)
            or (key in {"conversations", "conversation"})
        ):
            return "item"
        if kind == "conversation_part":
            return "part"
        return "person" if kind in _PERSONS or key in {"contacts", "users", "admins"} else "other"

    def wrapper_of(self, content: Mapping[str, Any]) -> str | None:
        """See `TicketFormat`. A notification of a webhook has the conversation as ``data.item``."""
        kind = text_of(content.get("type"))
        if kind == "notification_event" and isinstance(content.get("data"), dict):
            return "data"
        return None if kind.startswith("conversation") else super().wrapper_of(content)

    def owner_of(self, part: Mapping[str, Any]) -> str:
        return text_of(part.get("conversation_id"))

    def line(self, item: Item, people: Mapping[str, Mapping[str, Any]], options: ConvertOptions) -> bytes:
        talk = item.value
        id = text_of(talk.get("id"))
        if not id:
            raise NotConvertible("the conversation has no id")
        event_at = _instant(talk.get("created_at"))
        if event_at is None:
            raise NotConvertible("created_at of the conversation is missing or not a time")
        data: dict[str, Any] = {"conversation": msgspec.Raw(item.raw)}
        if item.parts:
            data["conversation_parts"] = [msgspec.Raw(raw) for raw in item.parts]
        messages = [*_messages(talk), *item.part_values]
        return record_line(
            options,
            type="conversation",
            event_at=event_at,
            vendor_ids={"intercom_conversation_id": id},
            thread_id=f"intercom:{id}",
            participants=_participants(talk, messages, people, options).entries,
            attachments=attachments_of(messages, filename="name", url="url", size="filesize"),
            tags=[text_of(tag.get("name")) for tag in _listed(talk.get("tags"), "tags")],
            data=data,
        )


def _instant(value: Any) -> Any:
    """Parse a time. The API returns Unix seconds. Some exports have milliseconds or ISO 8601."""
    if isinstance(value, str) and not value.isdigit():
        return instants.from_iso(value)
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return instants.from_epoch(seconds / 1000 if seconds > 1e11 else seconds) if seconds == seconds else None


def _listed(value: Any, name: str) -> list[Mapping[str, Any]]:
    """The objects of a list. The API wraps lists into objects."""
    inner = value.get(name, value.get("data")) if isinstance(value, dict) else value
    return [one for one in inner if isinstance(one, dict)] if isinstance(inner, list) else []


def _messages(talk: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The first message and the parts."""
    first = talk.get("source") or talk.get("conversation_message")
    return [
        *([first] if isinstance(first, dict) else []),
        *_listed(talk.get("conversation_parts"), "conversation_parts"),
    ]


def _participants(
    talk: Mapping[str, Any],
    messages: list[Mapping[str, Any]],
    known: Mapping[str, Mapping[str, Any]],
    options: ConvertOptions,
) -> People:
    people = People(options.internal_domains)
    found: list[tuple[Mapping[str, Any], str]] = [
        (author, "") for one in messages if isinstance(author := one.get("author"), dict)
    ]
    found += [(one, "contact") for one in _listed(talk.get("contacts"), "contacts")]
    found += [(one, "admin") for one in _listed(talk.get("teammates"), "teammates")]
    found += [(one, "admin") for one in _listed(talk.get("teammates"), "admins")]
    found += [(one, "contact") for one in _listed(talk.get("customers"), "customers")]
    found += [
        (one, kind)
        for kind, name in (("user", "user"), ("admin", "assignee"))
        if isinstance(one := talk.get(name), dict)
    ]
    if assignee := text_of(talk.get("admin_assignee_id")):
        found.append(({"id": assignee}, "admin"))
    for person, default in found:
        id = text_of(person.get("id"))
        kind = (text_of(person.get("type")) or default).partition(".")[0]
        role, type = _PEOPLE.get(kind, ("", ""))
        more = known.get(id, {})
        people.add(
            id=id,
            name=text_of(person.get("name")) or text_of(more.get("name")),
            email=text_of(person.get("email")) or text_of(more.get("email")),
            role=role,
            type=type,
        )
    return people


INTERCOM = Intercom()
