"""Terms: a record is indexed by the same terms that a filter looks for."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.envelope_errors import check_schema
from lake.filters import NO_TERM, Terms
from lake.terms import number, term, vendor_id
from tests.lake.test_identity import normalized
from tests.records import record

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    st.dictionaries(texts, texts, min_size=1, max_size=3),
    st.lists(texts, min_size=1, max_size=3),
    st.lists(texts, max_size=4),
    st.none() | texts,
    st.lists(st.tuples(texts, st.sampled_from([None, "ann@example.com", "bo@example.org"])), max_size=4),
    st.integers(1, 2**40),
)
def test_each_property_of_a_record_becomes_one_term(
    ids: dict[str, str],
    projects: list[str],
    tags: list[str],
    thread: str | None,
    people: list[tuple[str, str | None]],
    workspace: int,
) -> None:
    participants = [{"id": who, "role": "external"} | ({"email": email} if email else {}) for who, email in people]
    one = record(vendor_ids=ids, project_ids=projects, tags=tags, thread_id=thread, participants=participants)
    wanted = [("type", one["_type"]), ("product", one["_product_id"]), *(("project", value) for value in projects)]
    wanted += [("vendor", vendor_id(key, value)) for key, value in ids.items()]
    wanted += [("tag", value) for value in tags]
    wanted += [] if thread is None else [("thread", thread)]
    wanted += [("participant", value) for person in people for value in person if value is not None]
    terms = Terms(workspace)
    other = record(tags=["another"], thread_id="another", participants=[])
    first, again, _, after = terms.of([normalized(one), normalized(one), normalized(other), normalized(one)])
    for of_one in (first, again, after):
        parts = of_one[:3]
        found = [number(content) for part in parts for content in part]
        found += [number(content) for content in (of_one.thread, of_one.vendor) if content != NO_TERM]
        assert all(len(part) == len(set(part)) for part in parts)
        assert set(found) == {term(workspace, name, value) for name, value in wanted}


@pytest.mark.parametrize("field", ["thread_id", "tags", "vendor_ids", "product_id", "participants"])
def test_lone_surrogate_is_invalid_in_every_field_that_becomes_a_term(field: str) -> None:
    half = "\ud800"
    values: dict[str, Any] = {
        "tags": [half],
        "vendor_ids": {"id": half},
        "participants": [{"id": half, "role": "external"}],
    }
    found = check_schema(json.dumps(record(**{field: values.get(field, half)})).encode())
    assert isinstance(found, list)
