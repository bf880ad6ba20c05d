"""Records of about 1.6 KB, each with vendor ids of its own."""

import itertools
import json

_numbers = itertools.count(1)
_TEXT = "Could you look into the invoice of last month? The amount differs from what we agreed on the phone. " * 12
_RECORD = json.dumps(
    {
        "_type": "conversation",
        "_schema_version": "1.0.0",
        "_event_at": "2026-01-01T00:00:00Z",
        "_nature": "evidence",
        "_vendor_ids": {"conversation_id": "ID"},
        "_product_id": "prod-abc",
        "_project_ids": ["proj-123"],
        "_thread_id": "ID",
        "_participants": [{"id": "system", "role": "internal"}, {"id": "user", "role": "external"}],
        "_tags": ["bench"],
        "data": {"messages": [{"sender": "user", "text": _TEXT}], "ID": 1},
    },
    separators=(",", ":"),
)


def record() -> bytes:
    """One record's JSON."""
    return _RECORD.replace("ID", f"r{next(_numbers):012d}").encode()


def ndjson(count: int) -> bytes:
    """A body of records, a line each."""
    return b"\n".join(record() for _ in range(count))


def with_file(url: str) -> bytes:
    """A record with one attachment."""
    entry = json.dumps([{"type": "file", "vendor_url": url}])
    return record().replace(b'"data":', b'"_attachments":' + entry.encode() + b',"data":', 1)
