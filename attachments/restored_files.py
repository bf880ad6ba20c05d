"""Compares the files in the bucket with the rows of a restored database."""

from collections.abc import Iterable, Iterator
from itertools import islice

from attachments.models import Attachment, StoredFile
from lake import object_store
from lake.restore import listing
from lake.restore.listing import BucketObject

PREFIX = "attachments/"
AT_ONCE = 1000


def unknown(found: Iterable[BucketObject]) -> Iterator[BucketObject]:
    """Objects of files that no row names: stored after the backup, or left by an attempt that is not over."""
    for part in _parts(found):
        uris = [object_store.uri(one.key) for one in part]
        named = set(StoredFile.objects.filter(storage_uri__in=uris).values_list("storage_uri", flat=True))
        named |= set(Attachment.objects.filter(storage_uri__in=uris).values_list("storage_uri", flat=True))
        yield from (one for one, uri in zip(part, uris, strict=True) if uri not in named)


def missing(keys: set[str]) -> Iterator[str]:
    """Keys of stored files that are not among the keys of the bucket."""
    for uri in StoredFile.objects.order_by("id").values_list("storage_uri", flat=True).iterator(AT_ONCE):
        if (key := object_store.key_of(uri)) not in keys:
            yield key


def in_bucket() -> list[BucketObject]:
    """All objects of files. Raises StoreUnavailable."""
    return list(listing.objects(PREFIX))


def _parts(found: Iterable[BucketObject]) -> Iterator[list[BucketObject]]:
    rest = iter(found)
    while part := list(islice(rest, AT_ONCE)):
        yield part
