"""Excerpts of records for a list: names and first words, read for a whole page at once."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from evermuse import logs
from evermuse.errors import ArchiveDamaged, StoreUnavailable
from lake import places, reading
from lake.models import Record

log = logs.get(__name__)

# A list reads no larger record (bytes), because fifty records of 5 MB would fill the process's memory.
LARGEST = 64 * 1024
SHOWN_CHARACTERS = 140
SHOWN_NAMES = 3


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Texts for the columns of a list. Empty if the record has none."""

    vendor_ids: str = ""
    thread: str = ""
    participants: str = ""
    words: str = ""


def of(records: Sequence[Record]) -> dict[UUID, Excerpt]:
    """Excerpts of the records that are small enough, by id. One query reads all of them."""
    small = [record for record in records if record.place.size <= LARGEST]
    try:
        sent = places.read(record.place for record in small)
    except (StoreUnavailable, ArchiveDamaged) as error:
        log.warning("excerpts.store_away", error=str(error)[:200])
        return {}
    return {record.id: _excerpt(sent[record.place]) for record in small if record.place in sent}


def _excerpt(sent: bytes) -> Excerpt:
    stored = reading.stored(sent)
    envelope = json.loads(stored.head)
    vendor_ids = [f"{key}:{value}" for key, value in envelope["_vendor_ids"].items()]
    participants = [str(one.get("name") or one.get("email") or one["id"]) for one in envelope.get("_participants", ())]
    return Excerpt(
        vendor_ids=_several(vendor_ids),
        thread=_cut(str(envelope.get("_thread_id", ""))),
        participants=_several(participants),
        words=_first_words(stored.data),
    )


def _several(names: Sequence[str]) -> str:
    more = len(names) - SHOWN_NAMES
    return _cut(", ".join(names[:SHOWN_NAMES])) + (f" and {more} more" if more > 0 else "")


def _first_words(data: bytes) -> str:
    """The first texts in ``data``, or its bytes if Python cannot parse it."""
    try:
        value = json.loads(data)
        words = ""
        for text in _texts(value):
            words = f"{words} {text}".strip()
            if len(words) > SHOWN_CHARACTERS:
                break
    except (ValueError, RecursionError):
        words = data[: 4 * SHOWN_CHARACTERS].decode(errors="replace")
    return _cut(words)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def _cut(text: str) -> str:
    """One line that can be displayed: without NUL and lone surrogates."""
    plain = " ".join(text.replace("\0", "\u2400").split()).encode(errors="replace").decode()
    return plain if len(plain) <= SHOWN_CHARACTERS else f"{plain[:SHOWN_CHARACTERS]}…"
