"""Writes a record: puts an item's data into an envelope, and checks it with the server's validator."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from evermuse.client.convert import instants
from evermuse.client.convert.format import ConvertOptions, NotConvertible
from evermuse.client.convert.people import short_id
from evermuse.client.convert.rejects import sound_text
from evermuse.client.convert.validation import why_invalid

# A batch has at most 5 MiB. An array of one record has two brackets.
MAX_RECORD_BYTES = 5 * 1024 * 1024 - 2
MAX_THREAD_ID, MAX_TAG, MAX_TAGS, MAX_ATTACHMENTS = 512, 64, 200, 10
_encode = msgspec.json.Encoder().encode


class RecordTooLarge(NotConvertible):
    """The record is larger than a batch may be."""


def record_line(
    options: ConvertOptions,
    *,
    type: str,
    event_at: datetime,
    vendor_ids: Mapping[str, str],
    data: Mapping[str, Any] | msgspec.Raw,
    thread_id: str = "",
    participants: Sequence[Mapping[str, str]] = (),
    attachments: Sequence[Mapping[str, Any]] = (),
    tags: Sequence[str] = (),
) -> bytes:
    """The record as one line of JSON. Raises NotConvertible if the contract refuses it."""
    record: dict[str, Any] = {
        "_type": type,
        "_schema_version": "1.0.0",
        "_event_at": instants.spelled(event_at),
        "_vendor_ids": dict(vendor_ids),
        "_product_id": options.product_id,
        "_project_ids": list(options.project_ids),
    }
    if thread_id:
        record["_thread_id"] = short_id(thread_id, MAX_THREAD_ID)
    if participants:
        record["_participants"] = participants
    if attachments:
        record["_attachments"] = list(attachments[:MAX_ATTACHMENTS])
    if all_tags := _tags([*options.tags, *tags]):
        record["_tags"] = all_tags
    record["data"] = data
    # JSON strings contain no line breaks. Between tokens of the source's JSON they are only white space.
    return checked(_encoded(record).replace(b"\n", b" ").replace(b"\r", b" "))


def checked(line: bytes) -> bytes:
    """The line, if it is a valid record. Raises NotConvertible."""
    if len(line) > MAX_RECORD_BYTES:
        raise RecordTooLarge(f"the record has {len(line):,} bytes; a batch holds at most {MAX_RECORD_BYTES:,}")
    if (reason := why_invalid(line)) is not None:
        raise NotConvertible(f"the record is not valid: {reason}")
    return line


def _encoded(record: dict[str, Any]) -> bytes:
    try:
        return _encode(record)
    except UnicodeEncodeError:
        return _encode(_sound(record))


def _sound(value: Any) -> Any:
    if isinstance(value, str):
        return sound_text(value)
    if isinstance(value, Mapping):
        return {sound_text(key): _sound(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_sound(one) for one in value]
    return value


def _tags(texts: Sequence[str]) -> list[str]:
    found = dict.fromkeys(sound_text(text).strip()[:MAX_TAG] for text in texts)
    return [text for text in found if text][:MAX_TAGS]
