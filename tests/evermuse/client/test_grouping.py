"""Grouping keeps every limit of a batch, every record, and the order of the versions of one record."""

from dataclasses import dataclass, field
from functools import cache

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evermuse.client.send import grouping
from evermuse.client.send.grouping import MAX_ATTACHMENTS, MAX_BODY_BYTES, MAX_RECORDS, UPLOAD_BYTES, Grouper
from evermuse.client.send.history import Identities
from evermuse.client.send.journal import positions_of, spans_of


@dataclass
class Item:
    number: int
    raw: bytes
    type: str
    product_id: str
    identity: int
    attachment_count: int = 0
    local_files: dict[int, str] = field(default_factory=dict)


# Other tests run at the same time, so a slow example says nothing.
UNHURRIED = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
SIZES = st.sampled_from([10, 2000, 900_000, MAX_BODY_BYTES - 3, MAX_BODY_BYTES // 2])
SPECS = st.lists(
    st.tuples(
        SIZES, st.sampled_from("ab"), st.sampled_from("pq"), st.integers(0, 5), st.integers(0, 10), st.booleans()
    ),
    max_size=60,
)


@cache
def text(size: int) -> bytes:
    """A record's bytes. Items of one size share them, because the examples would take gigabytes otherwise."""
    return b"x" * size


def grouped(items: list[Item]) -> list[list[Item]]:
    grouper: Grouper[Item] = Grouper()
    return [group for item in items for group in grouper.add(item)] + list(grouper.rest())


@UNHURRIED
@given(SPECS)
def test_batches_keep_all_limits_and_all_records(specs: list[tuple[int, str, str, int, int, bool]]) -> None:
    items = [
        Item(
            n,
            text(size),
            kind,
            product,
            hash((kind, identity)),
            files,
            {0: "f"} if files and local and size < 9999 else {},
        )
        for n, (size, kind, product, identity, files, local) in enumerate(specs)
    ]
    groups = grouped(items)
    assert sorted(item.number for group in groups for item in group) == list(range(len(items)))
    for group in groups:
        assert len({(item.type, item.product_id) for item in group}) == 1
        assert len(group) <= MAX_RECORDS
        assert sum(len(i.raw) + 1 + UPLOAD_BYTES * len(i.local_files) for i in group) + 2 <= MAX_BODY_BYTES
        assert sum(item.attachment_count for item in group) <= MAX_ATTACHMENTS
    for identity in {item.identity for item in items}:
        order = [item.number for group in groups for item in group if item.identity == identity]
        assert order == sorted(order)
    assert [[i.number for i in g] for g in groups] == [[i.number for i in g] for g in grouped(items)]


@UNHURRIED
@given(SPECS, st.integers(1, 50), st.integers(1, 40))
def test_batches_are_the_same_for_records_given_one_by_one_and_many_at_once(
    specs: list[tuple[int, str, str, int, int, bool]], at_once: int, times: int
) -> None:
    # Repeated, so that some batches get more records than they may have.
    items = [
        Item(n, text(size), kind, product, hash((kind, identity)), files)
        for n, (size, kind, product, identity, files, _) in enumerate(specs * times)
    ]
    grouper: Grouper[Item] = Grouper()
    parts = [items[start : start + at_once] for start in range(0, len(items), at_once)]
    groups = [group for part in parts for group in grouper.add_all(part)] + list(grouper.rest())
    assert [[i.number for i in g] for g in groups] == [[i.number for i in g] for g in grouped(items)]


def test_number_of_records_and_attachments_closes_a_batch() -> None:
    items = [Item(n, b"{}", "a", "p", n, 10) for n in range(2 * MAX_RECORDS)]
    assert {len(group) for group in grouped(items)} == {MAX_ATTACHMENTS // 10}
    plain = [Item(n, b"{}", "a", "p", n) for n in range(2 * MAX_RECORDS)]
    assert [len(group) for group in grouped(plain)] == [MAX_RECORDS, MAX_RECORDS]


def test_open_batches_of_many_products_are_bounded() -> None:
    grouper: Grouper[Item] = Grouper()
    size = grouping.MAX_OPEN_BYTES // 8
    closed = [g for n in range(20) for g in grouper.add(Item(n, text(size), "a", f"p{n}", n))]
    assert len(closed) >= 12


@UNHURRIED
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), unique=True).map(sorted))
def test_spans_hold_exactly_their_positions(positions: list[tuple[int, int]]) -> None:
    assert list(positions_of(spans_of(positions))) == positions


def test_set_of_identities_keeps_what_was_added() -> None:
    found = Identities()
    for number in range(0, 200_000, 2):
        found.add(hash(str(number)))
    assert hash("0") in found and hash("131072") in found and hash("199998") in found
    assert hash("1") not in found
