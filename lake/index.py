"""The index: writes the records of several batches. Only a later acceptance may overwrite a record."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from evermuse import prepared
from evermuse.binary_arrays import BinaryArray, byteas, int4s, int8s, int8s_of_bytes, timestamps, uuids
from lake import accepted_times, index_layout, index_statements, term_sets
from lake.filters import Terms
from lake.landing import LandedRecord
from lake.normalization import DIGEST_BYTES
from lake.term_sets import StoredTerms

INSERT, ADVANCE = index_statements.insert(index_statements.COMPACT), index_statements.advance(index_statements.COMPACT)
# As the previous version writes them (`lake.index_layout`).
WIDE_INSERT, WIDE_ADVANCE = (
    index_statements.insert(index_statements.WIDE),
    index_statements.advance(index_statements.WIDE),
)

CREATED, UPDATED, IDENTICAL, SUPERSEDED, REJECTED = "c", "u", "i", "s", "r"
# Outcomes of records whose line no version needs.
NEEDLESS = IDENTICAL + SUPERSEDED
# For a row that this statement could not write. The other statement can.
_OPEN = "-"


@dataclass(slots=True)
class IndexedBatch:
    """The accepted records of a batch. `upsert` fills ``outcomes``.

    ``changed_at``: the instant of the landing (`lake.horizon`).
    """

    sequence: int
    workspace_id: int
    accepted_at: datetime
    changed_at: datetime
    records: Sequence[LandedRecord]
    outcomes: dict[int, str] = field(default_factory=dict)


class Row(NamedTuple):
    """A record, with the number of its batch among those that are written together, counted from 1, and its stored terms."""

    number: int
    record: LandedRecord
    stored: StoredTerms


def upsert(batches: Sequence[IndexedBatch]) -> None:
    """Write the records in the caller's transaction, and store each outcome under its record's index.

    One statement cannot write a row twice. If a batch contains a record twice, the later one counts. If several batches
    contain a record, its versions are written in rounds, in the order of acceptance. Later rounds write only rows that
    the first one locked, so they cannot deadlock.
    """
    ordered = sorted((batch for batch in batches if batch.records), key=lambda b: b.sequence)
    rounds: list[dict[bytes, tuple[int, LandedRecord]]] = []
    depth: dict[bytes, int] = {}
    for number, batch in enumerate(ordered, 1):
        last: dict[bytes, LandedRecord] = {}
        for record in batch.records:
            if earlier := last.get(record.key):
                batch.outcomes[earlier.index] = SUPERSEDED
            last[record.key] = record
        for key, record in last.items():
            level = depth.get(key, 0)
            depth[key] = level + 1
            if level == len(rounds):
                rounds.append({})
            rounds[level][key] = (number, record)
    is_compact = index_layout.is_compact()
    # Terms of all rounds, before rows of records are locked.
    sorted_rows = [[rows[key] for key in sorted(rows)] for rows in rounds]
    flat = list(itertools.chain.from_iterable(sorted_rows))
    rows = iter(with_terms(ordered, flat, may_add_sets=True, in_columns=is_compact))
    for part in sorted_rows:
        _write(ordered, list(itertools.islice(rows, len(part))), is_compact=is_compact)


def _write(batches: Sequence[IndexedBatch], rows: Sequence[Row], *, is_compact: bool) -> None:
    # Django's cursors bind parameters as text on the client. This sends binary arrays in the same transaction.
    statements = (INSERT, ADVANCE) if is_compact else (WIDE_INSERT, WIDE_ADVANCE)
    for statement in itertools.cycle(statements):
        [(letters, ids, writers)] = prepared.rows(statement, {**of_batches(batches), **of_rows(rows)})
        if ids:
            accepted = accepted_times.of_batches(set(writers))
            parameters = {"ids": ids, "at": [accepted[writer] for writer in writers]}
            prepared.rows(index_statements.NOTE_FIRST, parameters)
        left: list[Row] = []
        for row, letter in zip(rows, letters, strict=True):
            if letter == _OPEN:
                left.append(row)
            else:
                batches[row.number - 1].outcomes[row.record.index] = letter
        if not left:
            return
        rows = left


def of_batches(batches: Sequence[IndexedBatch]) -> dict[str, object]:
    """Parameters of the statements: the values that all records of a batch share."""
    # A batch has one type and one product, as admission ensures.
    heads = [batch.records[0].normalized for batch in batches]
    return {
        "workspace_id": int8s([batch.workspace_id for batch in batches]),
        "sequence": int8s([batch.sequence for batch in batches]),
        "type": [head.type for head in heads],
        "product_id": [head.product_id for head in heads],
        "accepted_at": [batch.accepted_at for batch in batches],
        "changed_at": [batch.changed_at for batch in batches],
    }


def of_rows(rows: Sequence[Row]) -> dict[str, BinaryArray]:
    """Parameters of the statements: the rows in their order."""
    stored = [row.stored for row in rows]
    ends = list(itertools.accumulate(len(one.terms) for one in stored))
    records = [row.record for row in rows]
    return {
        "id": uuids([record.key for record in records]),
        "b": int4s([row.number for row in rows]),
        "event_at": timestamps([record.normalized.event_seconds for record in records]),
        "lo": int4s([1, *(end + 1 for end in ends[:-1])]),
        "hi": int4s(ends),
        "digest": byteas([record.digest[:DIGEST_BYTES] for record in records]),
        "body_offset": int4s([record.place.offset for record in records]),
        "body_size": int4s([record.place.size for record in records]),
        "terms": int8s_of_bytes(list(itertools.chain.from_iterable(one.terms for one in stored))),
        "thread": int8s_of_bytes([one.thread for one in stored]),
        "vendor": int8s_of_bytes([one.vendor for one in stored]),
        "term_set": int4s([one.term_set for one in stored]),
    }


def with_terms(
    batches: Sequence[IndexedBatch],
    records: Sequence[tuple[int, LandedRecord]],
    *,
    may_add_sets: bool,
    in_columns: bool,
) -> list[Row]:
    """The rows of records that come with the number of their batch. Records of one workspace are handled together."""
    members: dict[int, list[int]] = {}
    for place, (number, _) in enumerate(records):
        members.setdefault(batches[number - 1].workspace_id, []).append(place)
    found: list[StoredTerms] = [StoredTerms([])] * len(records)
    for workspace_id, places in sorted(members.items()):
        terms = Terms(workspace_id).of(records[place][1].normalized for place in places)
        stored = term_sets.stored(workspace_id, terms, may_add=may_add_sets, in_columns=in_columns)
        for place, one in zip(places, stored, strict=True):
            found[place] = one
    return [Row(number, record, one) for (number, record), one in zip(records, found, strict=True)]
