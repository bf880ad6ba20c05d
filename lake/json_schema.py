"""The envelope as JSON Schema (2020-12), generated from the types that validate it."""

from functools import cache
from typing import Any

import msgspec

from lake.email_addresses import EMAIL_PATTERN
from lake.envelope import Envelope
from lake.field_rules import END
from lake.formats import FORM_OF_EVENT_AT, RECORD_TYPES

EVENT_AT = rf"^{FORM_OF_EVENT_AT}{END}"


@cache
def envelope() -> dict[str, Any]:
    """The schema of one record. Descriptions state the rules that a schema cannot (a real instant, a known product)."""
    _, components = msgspec.json.schema_components([Envelope], ref_template="#/$defs/{name}")
    schema = components.pop("Envelope")
    fields = schema["properties"]
    fields["_type"] = {
        "type": "string",
        "pattern": f"^(?:{'|'.join(_any_case(name) for name in sorted(RECORD_TYPES))}){END}",
        "description": "Case-insensitive; stored in lower case.",
    }
    fields["_event_at"] = {"type": "string", "pattern": EVENT_AT, "description": "A real instant in UTC."}
    fields["data"] = {"type": "object", "description": "Stored exactly as sent."}
    email = components["Participant"]["properties"]["email"]
    del email["format"]  # Validators that check this format accept fewer addresses than the contract does.
    email |= {"pattern": EMAIL_PATTERN, "description": "An e-mail address of any script."}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Integration Envelope",
        "type": "object",
        "properties": fields,
        "required": schema["required"],
        "additionalProperties": False,
        "anyOf": [{"required": ["_project_ids"]}, {"required": ["_project_id"]}],
        "$defs": components,
    }


def _any_case(word: str) -> str:
    return "".join(f"[{letter}{letter.upper()}]" if letter.isalpha() else letter for letter in word)
