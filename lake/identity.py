"""Identity: which record this is.

Source: the HTTP contract, "Deduplicated". Strings may hold any character, so that parts are set apart by JSON.
"""

from hashlib import sha256
from uuid import UUID

import msgspec

from lake.normalization import NormalizedRecord

_encode = msgspec.json.Encoder().encode


def record_key(workspace_id: int, record: NormalizedRecord) -> bytes:
    """128 bits of SHA-256 over workspace, type, vendor ids (as a set of pairs) and the instant."""
    envelope = record.envelope
    parts = (workspace_id, envelope.type, sorted(envelope.vendor_ids.items()), envelope.event_at)
    return sha256(_encode(parts)).digest()[:16]


def record_id(workspace_id: int, record: NormalizedRecord) -> UUID:
    """The same as the id of a row."""
    return UUID(bytes=record_key(workspace_id, record))
