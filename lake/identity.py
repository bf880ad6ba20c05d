"""Identity: which record a sent record is.

Source: the HTTP contract, "Deduplicated". Strings may contain any character, so JSON separates the parts.
"""

from hashlib import sha256
from uuid import UUID

import msgspec

from lake.normalization import NormalizedRecord

_encode = msgspec.json.Encoder().encode


def record_key(workspace_id: int, record: NormalizedRecord) -> bytes:
    """128 bits of SHA-256 over the workspace, the type, the set of vendor ids, and the instant."""
    envelope = record.envelope
    parts = (workspace_id, envelope.type, sorted(envelope.vendor_ids.items()), envelope.event_at)
    return sha256(_encode(parts)).digest()[:16]


def record_id(workspace_id: int, record: NormalizedRecord) -> UUID:
    """The identity as a row's id."""
    return UUID(bytes=record_key(workspace_id, record))
