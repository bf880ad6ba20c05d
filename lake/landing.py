"""The part of landing that needs no database: it validates and normalizes records.

Admission calls it for the immediate response, and the worker for the final verdict, so both use the same validator.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from uuid import UUID

from lake import identity
from lake.envelope import Envelope
from lake.envelope_errors import explain
from lake.fast_decoding import decode_quickly
from lake.field_errors import INVALID_JSON, FieldError
from lake.frames import Place
from lake.known_ids import Catalog, check_known
from lake.normalization import NormalizedRecord, normalize

UNKNOWN_TYPE = "unknown"
# Takes the product ids and project ids that records mention, and returns those that the workspace has.
Lookup = Callable[[set[str], set[str]], Catalog]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A rejected record with all its errors."""

    index: int
    raw: bytes
    errors: list[FieldError]

    @property
    def is_json(self) -> bool:
        """Whether the record is JSON."""
        return self.errors[0].code != INVALID_JSON


@dataclass(slots=True)
class Verdict:
    """The validator's verdict on a batch."""

    record_count: int
    accepted: list[tuple[int, Envelope]] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    attachment_count: int = 0
    is_mixed: bool = False
    type: str = UNKNOWN_TYPE
    # Whether products and projects were checked: at least one record has a valid schema.
    has_used_catalog: bool = False

    @property
    def error_count(self) -> int:
        """The number of all errors."""
        return sum(len(record.errors) for record in self.rejected)

    def first_errors(self, limit: int = 20) -> list[dict[str, str | int]]:
        """The first errors by index, as the API shows them."""
        found: list[dict[str, str | int]] = [
            {"index": record.index, "code": error.code, "message": error.message}
            for record in self.rejected[:limit]
            for error in record.errors
        ]
        return found[:limit]


class TooManyAttachments(Exception):
    """The records have more attachments than the caller accepts."""


def examine(
    raws: Sequence[bytes], lookup: Lookup, *, are_json: bool = False, max_attachments: int | None = None
) -> Verdict:
    """Check each record's schema, and if it is valid, the product and projects that it mentions.

    ``are_json``: whether all are already proven to be JSON. Raises TooManyAttachments as soon as that is known.
    """
    verdict = Verdict(record_count=len(raws))
    valid: list[tuple[int, Envelope]] = []
    # The type of each record with an invalid schema, by index.
    told: dict[int, str | None] = {}
    quickly = decode_quickly(raws)
    verdict.attachment_count = sum(
        map(len, [found for one in quickly if one is not None and (found := one.attachments)])
    )
    for index, envelope in enumerate(quickly):
        if max_attachments is not None and verdict.attachment_count > max_attachments:
            raise TooManyAttachments
        if envelope is not None:
            valid.append((index, envelope))
            continue
        explained = explain(raws[index], is_json=are_json)
        if explained.envelope is not None:
            valid.append((index, explained.envelope))
            verdict.attachment_count += len(explained.envelope.attachment_list)
            continue
        verdict.rejected.append(Rejected(index, raws[index], explained.errors))
        verdict.attachment_count += explained.attachment_count
        told[index] = explained.type
    if max_attachments is not None and verdict.attachment_count > max_attachments:
        raise TooManyAttachments
    envelopes = [envelope for _, envelope in valid]
    types = {envelope.type for envelope in envelopes}
    products = {envelope.product_id for envelope in envelopes}
    projects = set(chain.from_iterable([envelope.project_ids or () for envelope in envelopes]))
    projects.update({one for envelope in envelopes if isinstance(one := envelope.project_id, str)})
    verdict.is_mixed = len(products) > 1 or len({type.lower() for type in types}) > 1
    if valid:
        verdict.has_used_catalog = True
        _sort_out(verdict, valid, raws, lookup(products, projects), products, projects)
    # If no record is accepted, the first type that a record names.
    verdict.type = verdict.accepted[0][1].type.lower() if verdict.accepted else _first_type(told, valid)
    return verdict


def _sort_out(
    verdict: Verdict,
    valid: list[tuple[int, Envelope]],
    raws: Sequence[bytes],
    catalog: Catalog,
    products: set[str],
    projects: set[str],
) -> None:
    """Accept valid records with known products and projects. The others get an error for each unknown one."""
    if products <= catalog.product_ids and projects <= catalog.project_ids:
        verdict.accepted = valid
        return
    for index, envelope in valid:
        if errors := check_known(envelope, catalog):
            verdict.rejected.append(Rejected(index, raws[index], errors))
        else:
            verdict.accepted.append((index, envelope))
    verdict.rejected.sort(key=lambda record: record.index)


def _first_type(told: dict[int, str | None], valid: Sequence[tuple[int, Envelope]]) -> str:
    types = told | {index: envelope.type.lower() for index, envelope in valid}
    return next((found for _, found in sorted(types.items()) if found), UNKNOWN_TYPE)


@dataclass(slots=True)
class LandedRecord:
    """An accepted record, ready to be stored. ``key``: the 16 bytes of its identity."""

    index: int
    key: bytes
    digest: bytes
    normalized: NormalizedRecord
    place: Place

    @property
    def id(self) -> UUID:
        """Its identity as a row's id."""
        return UUID(bytes=self.key)

    @property
    def envelope(self) -> Envelope:
        """The normalized envelope."""
        return self.normalized.envelope

    @property
    def data(self) -> bytes:
        """The value of ``data`` as it was sent."""
        return self.normalized.data


def prepare(accepted: Sequence[tuple[int, Envelope]], workspace_id: int, places: Sequence[Place]) -> list[LandedRecord]:
    """Normalize and identify the records. ``places``: of all records of the batch, by index."""
    return [landed(index, normalize(envelope), workspace_id, places[index]) for index, envelope in accepted]


def landed(index: int, normalized: NormalizedRecord, workspace_id: int, place: Place) -> LandedRecord:
    """Identify one record."""
    key = identity.record_key(workspace_id, normalized)
    return LandedRecord(index, key, normalized.digest, normalized, place)
