"""The example that computes a record's digest lists every field of the envelope, in the order in which they are written."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lake.envelope import Envelope
from lake.envelope_errors import check_schema
from lake.normalization import normalize
from tests.records import record

READ = Path(__file__).resolve().parents[2] / "evermuse" / "docs" / "read.md"
# Normalization merges the first into `_project_ids`; the example handles `data` by itself.
NOT_LISTED = {"_project_id", "data"}


def test_digest_example_lists_the_fields_of_the_envelope_in_order() -> None:
    listed = re.search(r"FIELDS = \((.*?)\n\)", READ.read_text(), re.DOTALL)
    assert listed
    fields = [field.encode_name for field in msgspec.structs.fields(Envelope)]
    assert re.findall(r'"(\w+)"', listed[1]) == [name for name in fields if name not in NOT_LISTED]


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "Call", "event_at": "2026-01-31T12:00:00.5Z", "project_ids": ["b", "a", "b"], "project_id": "c"},
        {"vendor_ids": {"z": "1", "\U0001f600": "2", "\uff5e": "3"}, "thread_id": '\0é\x7f\u2028/"\\\b\f\n\r\t\x1f'},
        {"attachments": [{"type": "file", "filename": "a", "size": 5, "md5": "AB"}], "tags": [], "participants": []},
        {"pii": {"contains_email": True, "sensitive_score": 1, "redaction_status": "redacted"}},
        {"pii": {"sensitive_score": 0.25, "detected_entities": [{"type": "t", "value": "v", "confidence": 0}]}},
        {"pii": {}},
    ],
)
def test_digest_example_gives_the_digest_of_the_service(changes: dict[str, Any]) -> None:
    one = record(**changes, data={})
    names: dict[str, Any] = {"json": json, "hashlib": hashlib}
    for source in re.findall(
        r"^(?:FIELDS|def (?:pii|digest)\b).*?(?=\n\n|\n\)\n)(?:\n\))?", READ.read_text(), re.M | re.S
    ):
        exec(source, names)
    envelope = check_schema(json.dumps(one).encode())
    assert isinstance(envelope, Envelope), envelope
    assert names["digest"](one, b"{}") == normalize(envelope).digest.hex()
