"""Records for the tests to send."""

import itertools
from typing import Any

_numbers = itertools.count(1)


def record(**changes: Any) -> dict[str, Any]:
    """A valid, unique record. ``changes`` replace fields (``type`` for ``_type``); None removes one."""
    made: dict[str, Any] = {
        "_type": "message",
        "_schema_version": "1.0.0",
        "_event_at": "2026-01-31T12:00:00Z",
        "_vendor_ids": {"test": f"v{next(_numbers)}"},
        "_product_id": "prod-abc",
        "_project_ids": ["proj-123"],
        "data": {"text": "hello"},
    }
    for name, value in changes.items():
        key = name if name == "data" else f"_{name}"
        made[key] = value
        if value is None:
            del made[key]
    return made
