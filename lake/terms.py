"""What filters look for: a record's properties as 64-bit numbers, so that one index serves all of them.

Strings of clients may hold ``\\u0000`` and be long; a number is neither. 64 bits of BLAKE2 over workspace, name and
value: a filter of one workspace never meets another's records.
"""

from collections.abc import Iterable
from hashlib import blake2b

from lake.normalization import NormalizedRecord


def term(workspace_id: int, name: str, value: str) -> int:
    """The number of ``name=value`` in a workspace, signed, 64 bits."""
    text = f"{workspace_id}\x1f{name}\x1f{value}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)


def of(workspace_id: int, record: NormalizedRecord) -> list[int]:
    """All terms of a record, each once."""
    return sorted({term(workspace_id, name, value) for name, value in _properties(record)})


def _properties(record: NormalizedRecord) -> Iterable[tuple[str, str]]:
    yield "type", record.type
    yield "product", record.product_id
    if record.thread_id is not None:
        yield "thread", record.thread_id
    for project_id in record.project_ids:
        yield "project", project_id
    for tag in record.tags or ():
        yield "tag", tag
    for key, value in record.vendor_ids.items():
        yield "vendor", f"{key}:{value}"
    for participant in record.participants or ():
        yield "participant", participant.id
        if isinstance(participant.email, str):
            yield "participant", participant.email
