"""Filters of the records. Each is one entry of FILTERS, with its query parameter, its description and its term.

A term is a number in the row's index (`lake.terms`). Records that landed before a filter was added lack its terms, until
`manage.py fillfilter PARAMETER` has added them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from typing import NamedTuple

from lake.formats import RECORD_TYPES
from lake.normalization import NormalizedRecord
from lake.terms import WIDTH, beginning, vendor_id, vendor_id_of


def _thread_id(record: NormalizedRecord) -> Iterable[str]:
    return (found,) if isinstance(found := record.envelope.thread_id, str) else ()


def _participants(record: NormalizedRecord) -> Iterable[str]:
    found: list[str] = []
    for participant in record.envelope.participants or ():
        found.append(participant.id)
        if isinstance(participant.email, str):
            found.append(participant.email)
    return found


def _vendor_ids(record: NormalizedRecord) -> Iterable[str]:
    return [vendor_id(key, value) for key, value in record.envelope.vendor_ids.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """``GET /api/v1/records?parameter=value`` returns the records for which ``values`` yields the value.

    ``term``: the name under which values are hashed. Never change it for a filter that is in use.
    ``parse``: converts a client's text to a value. Raises ValueError with the broken rule, such as "must be key:value".
    ``choices``: the only values that are accepted, if any.
    ``values_repeat``: most records have the same values as others. Such values are hashed once, and may be stored once
    (`lake.term_sets`). ``has_few_values``: a workspace has few different ones. ``column``: of values that do not repeat, the
    record's first has this column of its row (`lake.models.Record`).
    """

    parameter: str
    term: str
    description: str
    values: Callable[[NormalizedRecord], Iterable[str]]
    parse: Callable[[str], str] = str
    choices: tuple[str, ...] = ()
    values_repeat: bool = True
    has_few_values: bool = False
    column: str = ""

    def parsed(self, text: str) -> str:
        """The value that a client's text means. Raises ValueError with the rule that is broken."""
        value = self.parse(text)
        if self.choices and value not in self.choices:
            raise ValueError(f"must be one of {', '.join(self.choices)}")
        return value


FILTERS = (
    Filter(
        parameter="type",
        term="type",
        description="The record's type.",
        values=lambda record: (record.envelope.type,),
        parse=str.lower,
        choices=tuple(sorted(RECORD_TYPES)),
        has_few_values=True,
    ),
    Filter(
        parameter="product_id",
        term="product",
        description="The record's product.",
        values=lambda record: (record.envelope.product_id,),
        has_few_values=True,
    ),
    Filter(
        parameter="project_id",
        term="project",
        description="One of the record's projects.",
        values=lambda record: record.project_ids,
        has_few_values=True,
    ),
    Filter(
        parameter="thread_id",
        term="thread",
        description="The record's thread.",
        values=_thread_id,
        values_repeat=False,
        column="thread_term",
    ),
    Filter(
        parameter="tag",
        term="tag",
        description="One of the record's tags.",
        values=lambda record: record.envelope.tags or (),
    ),
    Filter(
        parameter="participant",
        term="participant",
        description="Id or e-mail of a participant.",
        values=_participants,
    ),
    Filter(
        parameter="vendor_id",
        term="vendor",
        description="key:value of a vendor id. The first colon ends the key; in the key, % and : are written %25 and %3A "
        "before the URL's own encoding.",
        values=_vendor_ids,
        parse=vendor_id_of,
        values_repeat=False,
        column="vendor_term",
    ),
)


# The statements write NULL for it (`lake.index_statements`). A term that happens to be equal is stored in no column.
NO_TERM = bytes(WIDTH)


def _hashing(beginning: str) -> Callable[[str], bytes]:
    """The function that hashes a value of one name. The text before all values is hashed once, and its state copied."""
    started = blake2b(beginning.encode(), digest_size=WIDTH).copy

    def hashed(value: str) -> bytes:
        hash = started()
        hash.update(value.encode())
        return hash.digest()

    return hashed


class _Hashed(dict[str, bytes]):
    """The terms of one name's values. A repeated value is hashed once."""

    def __init__(self, beginning: str) -> None:
        self._hash = _hashing(beginning)

    def __missing__(self, value: str) -> bytes:
        found = self[value] = self._hash(value)
        return found


class RecordTerms(NamedTuple):
    """The distinct terms of a record, each as the eight bytes of a PostgreSQL bigint. A term may be in two of the parts.

    ``thread`` and ``vendor``: the term of that column, or `NO_TERM`.
    """

    few: tuple[bytes, ...]
    repeating: tuple[bytes, ...]
    own: tuple[bytes, ...]
    thread: bytes = NO_TERM
    vendor: bytes = NO_TERM


class Terms:
    """The terms of some records of one workspace."""

    def __init__(self, workspace_id: int, filters: Sequence[Filter] = FILTERS) -> None:
        named = [(one, beginning(workspace_id, one.term)) for one in filters]
        repeating = [(one, _Hashed(start)) for one, start in named if one.values_repeat]
        self._few = [(one.values, hashed) for one, hashed in repeating if one.has_few_values]
        self._repeating = [(one.values, hashed) for one, hashed in repeating if not one.has_few_values]
        self._own = [(one.column, one.values, _hashing(start)) for one, start in named if not one.values_repeat]

    def of(self, records: Iterable[NormalizedRecord]) -> list[RecordTerms]:
        """The terms of each record."""
        records = list(records)
        own: list[list[bytes]] = [[] for _ in records]
        columns = {"thread_term": [NO_TERM] * len(records), "vendor_term": [NO_TERM] * len(records)}
        for column, values, hashing in self._own:
            first = columns.get(column)
            for place, given in enumerate(map(values, records)):
                terms = list(map(hashing, given))
                if first is not None and terms:
                    first[place] = terms[0]
                    # Only a term that the column cannot hold stays.
                    del terms[: terms[0] != NO_TERM]
                own[place].extend(terms)
        parts = (
            _repeating(self._few, records),
            _repeating(self._repeating, records),
            [tuple(dict.fromkeys(r)) for r in own],
            columns["thread_term"],
            columns["vendor_term"],
        )
        return [RecordTerms(*one) for one in zip(*parts, strict=True)]


def _repeating(
    filters: Sequence[tuple[Callable[[NormalizedRecord], Iterable[str]], _Hashed]], records: Sequence[NormalizedRecord]
) -> list[tuple[bytes, ...]]:
    """The terms of each record. Records of a batch often have equal values, and then share a tuple."""
    found: list[list[list[bytes]]] = [[] for _ in records]
    for values, hashed in filters:
        before: Iterable[str] | None = None
        terms: list[bytes] = []
        for row, given in zip(found, map(values, records), strict=True):
            if given != before:
                before, terms = given, [hashed[value] for value in given]
            row.append(terms)
    rows: list[tuple[bytes, ...]] = []
    last: list[list[bytes]] | None = None
    for row in found:
        if row != last:
            last, distinct = row, tuple(dict.fromkeys(chain.from_iterable(row)))
        rows.append(distinct)
    return rows
