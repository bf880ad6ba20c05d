"""Lists the objects of the bucket by their keys."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from urllib.parse import unquote

from django.conf import settings

from evermuse.errors import ArchiveDamaged
from lake import object_store
from lake.journal import writing

JOURNALS, SEGMENTS = "journal/", "workspace="


@dataclass(frozen=True, slots=True)
class BucketObject:
    """An object. ``size``: in bytes."""

    key: str
    size: int


def objects(prefix: str) -> Iterator[BucketObject]:
    """All objects whose key begins with a prefix, in the order of their keys. Raises StoreUnavailable."""
    try:
        for one in object_store.client().list_objects(settings.MINIO_BUCKET, prefix, recursive=True):
            if one.object_name:
                yield BucketObject(one.object_name, one.size or 0)
    except object_store.FAULTS as error:
        raise object_store.unavailable(error) from None


def journals() -> dict[str, list[BucketObject]]:
    """The objects of each workspace's journal, by the part of the key that names the workspace."""
    found: dict[str, list[BucketObject]] = {}
    for one in objects(JOURNALS):
        found.setdefault(one.key.split("/")[1].partition("=")[2], []).append(one)
    return found


def segments() -> list[BucketObject]:
    """The objects of all segments."""
    return [one for one in objects(SEGMENTS) if "/segment-" in one.key]


def day_of(key: str) -> date:
    """The date in a segment's key. Raises ArchiveDamaged."""
    part = next((one for one in key.split("/") if one.startswith("date=")), "")
    try:
        return date.fromisoformat(part.removeprefix("date="))
    except ValueError:
        raise ArchiveDamaged("the segment's key names no date") from None


def name_in(part: str) -> str:
    """The workspace that a part of a key names. A long name is cut off there."""
    return unquote(part)


def last_number(key: str) -> int:
    """The number of the last event in an object of a journal."""
    return writing.numbers_of(key)[1]
