"""The example that computes a record's digest lists every field of the envelope, in the order in which they are written."""

import re
from pathlib import Path

import msgspec

from lake.envelope import Envelope

READ = Path(__file__).resolve().parents[2] / "evermuse" / "docs" / "read.md"
# Normalization merges the first into `_project_ids`; the example handles `data` by itself.
NOT_LISTED = {"_project_id", "data"}


def test_digest_example_lists_the_fields_of_the_envelope_in_order() -> None:
    listed = re.search(r"FIELDS = \((.*?)\n\)", READ.read_text(), re.DOTALL)
    assert listed
    fields = [field.encode_name for field in msgspec.structs.fields(Envelope)]
    assert re.findall(r'"(\w+)"', listed[1]) == [name for name in fields if name not in NOT_LISTED]
