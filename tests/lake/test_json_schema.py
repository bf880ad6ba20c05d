"""The published JSON Schema rejects what the validator rejects, also in dialects where `$` matches before a line break."""

from typing import Any

import jsonschema
import pytest

from lake import json_schema
from tests.records import record


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "message\n"},
        {"event_at": "2026-01-31T12:00:00Z\n"},
        {"event_at": "٢٠٢٦-01-31T12:00:00Z"},
        {"event_at": "2026-01-31T24:00:00Z"},
    ],
)
def test_schema_rejects_a_trailing_line_break_and_digits_of_other_scripts(wrong: dict[str, Any]) -> None:
    schema = jsonschema.Draft202012Validator(json_schema.envelope())
    assert schema.is_valid(record())
    assert not schema.is_valid(record(**wrong))
