"""Identity and normalization."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lake import identity
from lake.envelope import Envelope
from lake.envelope_errors import check_schema
from lake.frames import Place
from lake.landing import prepare
from lake.normalization import NormalizedRecord, normalize
from tests.records import record

vendor_ids = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4)  # fmt: skip


def normalized(value: dict[str, Any]) -> NormalizedRecord:
    """Returns a valid record in its normalized form."""
    envelope = check_schema(json.dumps(value).encode())
    assert isinstance(envelope, Envelope), envelope
    return normalize(envelope)


@given(vendor_ids, st.randoms())
def test_order_of_vendor_ids_changes_neither_id_nor_digest(ids: dict[str, str], random: Any) -> None:
    shuffled = list(ids.items())
    random.shuffle(shuffled)
    one, other = (normalized(record(vendor_ids=dict(pairs), data={})) for pairs in (ids.items(), shuffled))
    assert identity.record_id(1, one) == identity.record_id(1, other)
    assert one.digest == other.digest


@given(vendor_ids, vendor_ids)
def test_different_vendor_ids_make_a_different_record(ids: dict[str, str], others: dict[str, str]) -> None:
    one, other = (normalized(record(vendor_ids=pairs)) for pairs in (ids, others))
    assert (identity.record_id(1, one) == identity.record_id(1, other)) == (ids == others)


def test_workspace_type_and_event_time_are_part_of_the_identity() -> None:
    base: dict[str, Any] = {"vendor_ids": {"a": "b"}}
    variants = [record(**base), record(**base, type="call"), record(**base, event_at="2026-01-31T12:00:01Z")]
    ids = {identity.record_id(w, normalized(v)) for v in variants for w in (1, 2)}
    assert len(ids) == 6


def test_vendor_ids_with_quotes_are_not_confused_with_other_pairs() -> None:
    one = normalized(record(vendor_ids={"a": "b", "c": "d"}))
    other = normalized(record(vendor_ids={"a": 'b","c":"d'}))
    assert identity.record_id(1, one) != identity.record_id(1, other)


def test_project_id_and_project_ids_are_merged_into_one_list() -> None:
    old = normalized(record(vendor_ids={"a": "b"}, project_ids=None, project_id="p"))
    new = normalized(record(vendor_ids={"a": "b"}, project_ids=["p"]))
    both = normalized(record(vendor_ids={"a": "b"}, project_ids=["p"], project_id="p"))
    assert old.digest == new.digest == both.digest
    assert normalized(record(project_ids=["b", "a"], project_id="c")).project_ids == ["b", "a", "c"]


def test_digest_depends_on_the_exact_bytes_of_data() -> None:
    digests = set()
    for data in (b'{"a":1,"b":2}', b'{"b":2,"a":1}', b'{"a":1.0,"b":2}', b'{"a":1, "b":2}'):
        raw = json.dumps(record(vendor_ids={"a": "b"})).encode().replace(b'{"text": "hello"}', data)
        envelope = check_schema(raw)
        assert isinstance(envelope, Envelope)
        digests.add(prepare([(0, envelope)], 1, [Place(1, 0, len(raw))])[0].digest)
    assert len(digests) == 4


def test_normalization_adds_defaults_truncates_instants_and_lowers_the_type() -> None:
    found = normalized(record(type="CALL", event_at="2026-01-31T12:00:00.999Z", project_ids=None, project_id="p"))
    written = json.loads(found.document)
    assert written["_type"] == "call"
    assert written["_event_at"] == "2026-01-31T12:00:00Z"
    assert written["_project_ids"] == ["p"]
    assert written["_nature"] == "evidence"
    assert "_project_id" not in written
    assert list(written)[-1] == "data"
