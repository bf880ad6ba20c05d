"""Identity: which record this is, and whether it says anything new.

Source: the HTTP contract, "Deduplicated". Strings may hold any character, so that parts are set apart by JSON.
"""

from hashlib import sha256
from uuid import UUID

import msgspec

from lake.normalization import NormalizedRecord, same_whatever_the_order

_encode = msgspec.json.Encoder().encode


def record_key(workspace_id: int, record: NormalizedRecord) -> bytes:
    """128 bits of SHA-256 over workspace, type, vendor ids (as a set of pairs) and the instant."""
    head = record.envelope
    parts = (workspace_id, head.type, sorted(head.vendor_ids.items()), head.event_at)
    return sha256(_encode(parts)).digest()[:16]


def record_id(workspace_id: int, record: NormalizedRecord) -> UUID:
    """The same as the id of a row."""
    return UUID(bytes=record_key(workspace_id, record))


def content_digest(record: NormalizedRecord) -> bytes:
    """SHA-256 that is equal for equal envelopes (project ids as a set) with byte-equal ``data``."""
    content = sha256(same_whatever_the_order(record))
    content.update(b"\n")  # No line break stands in the head: head and data cannot run into one another.
    content.update(record.data)
    return content.digest()
