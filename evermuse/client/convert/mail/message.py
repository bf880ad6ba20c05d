"""Converts one mail to a record."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha1
from typing import Any

from evermuse.client.convert.format import ConvertOptions, NotConvertible
from evermuse.client.convert.mail import attachment_files, dates, identity, quotes
from evermuse.client.convert.mail.addresses import mailboxes
from evermuse.client.convert.mail.bodies import body_of, text_of_part
from evermuse.client.convert.mail.headers import Header, header_of, unix_lines
from evermuse.client.convert.mail.parts import Part, Structure, leaves, structure_of
from evermuse.client.convert.mail.threads import Threads
from evermuse.client.convert.mail.words import plain
from evermuse.client.convert.people import People
from evermuse.client.convert.records import MAX_ATTACHMENTS, record_line
from evermuse.client.convert.rejects import sound_text

_LISTS = ("from", "sender", "reply-to", "to", "cc", "bcc")
DIGEST, _VENDOR_IDS = "content_sha256", '"_vendor_ids":{'
# Limits on nested mails, and on texts of parts that are not bodies.
MAX_INNER_DEPTH, MAX_PART_TEXT = 5, 256 * 1024
MORE_FILES = "Attachments beyond the tenth of a mail: in data and in the directory, but not in _attachments"
NO_DATE = "no date: neither Date nor Received nor the file says when the mail was written; --event-at gives a time to such mails"
DATED_BY_OPTION = "Mails without any date: --event-at was used"
NOT_WRITTEN = "Attachments not written, because --attachments was not given"


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail's bytes, and its time of delivery according to the container, with the source of that time."""

    raw: bytes
    delivered_at: datetime | None = None
    delivered_source: str = ""


@dataclass(frozen=True, slots=True)
class Converted:
    """``key``: the record's identity. ``digest``: the content's digest. Copies of a mail have the same key and digest.

    ``notes``: counted in the summary.
    """

    key: str
    digest: str
    line: bytes
    notes: dict[str, int]


def convert(mail: Mail, options: ConvertOptions, threads: Threads) -> Converted:
    """The mail's record. Writes its files if a directory was given. Raises NotConvertible."""
    raw = unix_lines(mail.raw)
    structure = structure_of(raw)
    header = structure.root.header
    if not header.fields:
        raise NotConvertible("no header: this is not a mail")
    found = dates.event_time(header, mail.delivered_at, mail.delivered_source, options.instant)
    if found is None:
        raise NotConvertible(NO_DATE)
    event_at, source = found
    id = identity.message_id(header)
    digest = identity.content_digest(raw, header)
    vendor_ids = {"message_id": id} if id else {DIGEST: digest}
    notes = {DATED_BY_OPTION: 1} if source == dates.OPTION else {}
    files: list[dict[str, Any]] = []
    # Before the content, because the index of threads knows no more than the header.
    thread_id = threads.thread_of(header, id or f"sha256:{digest}", _seconds(event_at))
    data = {"message_id": id, "date_source": source, **_content(structure, options, files, notes, depth=0)}
    people = _people(header, options)
    line = record_line(
        options,
        type="email",
        event_at=event_at,
        vendor_ids=vendor_ids,
        thread_id=thread_id,
        participants=people.entries,
        attachments=[_entry(file) for file in files],
        tags=[tag.strip() for tag in plain(header.text("x-gmail-labels")).split(",")],
        data=data,
    )
    if len(files) > MAX_ATTACHMENTS:
        notes[MORE_FILES] = len(files) - MAX_ATTACHMENTS
    key = f"{next(iter(vendor_ids.values()))} {event_at:%Y%m%d%H%M%S}"
    return Converted(sound_text(key), digest, line, notes)


def told_apart(converted: Converted) -> Converted:
    """The record of a mail with the same Message-ID and time as another mail, but different content."""
    more = f'{_VENDOR_IDS}"{DIGEST}":"{converted.digest}",'.encode()
    # The envelope precedes the data, so the first match is the right one.
    line = converted.line.replace(_VENDOR_IDS.encode(), more, 1)
    return Converted(f"{converted.key} {converted.digest}", converted.digest, line, converted.notes)


def _seconds(instant: datetime) -> int:
    return int((instant - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())


def _content(
    structure: Structure, options: ConvertOptions, files: list[dict[str, Any]], notes: dict[str, int], *, depth: int
) -> dict[str, Any]:
    """The ``data`` of a mail. Absent and empty fields are left out. Files are appended to ``files``."""
    header, body = structure.root.header, body_of(structure.root)
    header.charset = header.charset or next((found for leaf in leaves(structure.root) if (found := _charset(leaf))), "")
    text = body.text
    described = [_described(part, options, notes, is_outer=depth == 0) for part in body.files]
    for part, one in zip(body.files, described, strict=True):
        if part is not body.named_text and (beside := _text_beside(part, one["size"])):
            one["text"] = beside
    if depth == 0:
        files.extend(described)
    inner = [part for part in body.files if part.type in {"message/rfc822", "message/global"}]
    content = {
        "subject": identity.subject_of(header),
        "date": header.text("date"),
        **{name.replace("-", "_"): _listed(header, name) for name in _LISTS},
        "in_reply_to": identity.ids_in(header.text("in-reply-to")),
        "references": identity.ids_in(header.text("references")),
        "text": text,
        "text_from": "html" if body.is_from_html else "",
        "html": body.html,
        "quotes": quotes.marked(text),
        "attachments": described,
        "messages": _inner(inner, options, notes, depth=depth + 1),
        "outside_parts": [*structure.outside, *filter(None, (part.text_around() for part in body.files))],
        "headers": [[name, header.shown(value)] for name, value in header.fields],
        "defects": list(dict.fromkeys(structure.defects)),
    }
    return {name: value for name, value in content.items() if value}


def _charset(part: Part) -> str:
    return part.parameters.get("charset", "") if part.type.startswith("text/") else ""


def _inner(
    parts: Sequence[Part], options: ConvertOptions, notes: dict[str, int], *, depth: int
) -> list[dict[str, Any]]:
    """The mails attached to a mail. Beyond the maximum depth they are only listed as files."""
    if depth > MAX_INNER_DEPTH:
        return []
    return [_content(structure_of(part.content()), options, [], notes, depth=depth) for part in parts]


def _described(part: Part, options: ConvertOptions, notes: dict[str, int], *, is_outer: bool) -> dict[str, Any]:
    """The description of a file. Writes the file if a directory was given and it is not inside another file."""
    content = part.content()
    checksum = sha1(content, usedforsecurity=False).hexdigest()
    filename = part.filename
    if not filename and part.type == "message/rfc822":
        filename = f"{identity.subject_of(header_of(content, is_message=True)) or 'message'}.eml"
    name = attachment_files.safe_name(filename, mime_type=part.type, sha1=checksum)
    if is_outer and options.attachments is not None:
        attachment_files.write(options.attachments, name, content)
    elif is_outer:
        notes[NOT_WRITTEN] = notes.get(NOT_WRITTEN, 0) + 1
    described = {
        "part": part.number or "1",
        "filename": part.filename,
        "file": name if is_outer else "",
        "mime_type": part.type,
        "size": len(content),
        "sha1": checksum,
        "content_id": part.header.text("content-id").strip("<> "),
        "disposition": part.disposition,
    }
    return {key: value for key, value in described.items() if value != ""}


def _text_beside(part: Part, size: int) -> str:
    """The text of a part that is neither a body nor an attachment: delivery reports, calendars, enriched text."""
    is_text = part.type.startswith("text/") or part.type in {
        "message/delivery-status",
        "message/disposition-notification",
    }
    if not is_text or part.disposition == "attachment" or size > MAX_PART_TEXT:
        return ""
    return text_of_part(part)


def _entry(file: dict[str, Any]) -> dict[str, Any]:
    """The envelope's entry for a file. Its name is the file's name in the directory."""
    return {
        "type": attachment_files.kind_of(file["mime_type"]),
        "filename": file["file"],
        "size": file["size"],
        "mime_type": file["mime_type"][:256],
        "sha1": file["sha1"],
    }


def _listed(header: Header, name: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for value in header.raw_all(name):
        for shown, address in mailboxes(header.shown(value)):
            found.append({key: text for key, text in (("name", shown), ("email", address)) if text})
    return found


def _people(header: Header, options: ConvertOptions) -> People:
    people = People(options.internal_domains)
    for name in _LISTS:
        for one in _listed(header, name):
            people.add(name=one.get("name", ""), email=one.get("email", ""))
    return people
