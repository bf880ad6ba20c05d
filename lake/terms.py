"""What filters look for: a record's properties as 64-bit numbers, so that one index serves all of them.

Strings of clients may hold ``\\u0000`` and be long; a number is neither. 64 bits of BLAKE2 over workspace, name and
value: a filter of one workspace never meets another's records.
"""

from functools import lru_cache
from hashlib import blake2b

from msgspec import UnsetType

from lake.normalization import NormalizedRecord

# Projects, tags and participants come back in record after record; vendor ids and threads do not.
REPEATED = 8192


def term(workspace_id: int, name: str, value: str) -> int:
    """The number of ``name=value`` in a workspace, signed, 64 bits."""
    text = f"{workspace_id}\x1f{name}\x1f{value}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)


_repeated = lru_cache(REPEATED)(term)


def of(workspace_id: int, record: NormalizedRecord) -> list[int]:
    """All terms of a record, each once."""
    envelope = record.envelope
    found = [_repeated(workspace_id, "type", envelope.type), _repeated(workspace_id, "product", envelope.product_id)]
    found += [_repeated(workspace_id, "project", project_id) for project_id in envelope.all_project_ids]
    found += [term(workspace_id, "vendor", f"{key}:{value}") for key, value in envelope.vendor_ids.items()]
    if not isinstance(envelope.thread_id, UnsetType):
        found.append(term(workspace_id, "thread", envelope.thread_id))
    for tag in envelope.tags or ():
        found.append(_repeated(workspace_id, "tag", tag))
    for participant in envelope.participants or ():
        found.append(_repeated(workspace_id, "participant", participant.id))
        if not isinstance(participant.email, UnsetType):
            found.append(_repeated(workspace_id, "participant", participant.email))
    return sorted(set(found))
