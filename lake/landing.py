"""Landing, the part that needs no database: records in, verdicts and normalized records out.

Called by admission for the immediate answer and by the worker for the one that stands: one validator, two callers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from lake import identity
from lake.envelope import INVALID_JSON, Catalog, Envelope, FieldError, check_known
from lake.envelope_errors import attachment_count, check_schema, declared_type
from lake.normalization import NormalizedRecord, normalize

UNKNOWN_TYPE = "unknown"
# Product ids and project ids that records mention → those that the workspace knows.
Lookup = Callable[[set[str], set[str]], Catalog]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that is not accepted, with every error."""

    index: int
    raw: bytes
    errors: list[FieldError]

    @property
    def is_json(self) -> bool:
        """Whether the record parses at all."""
        return self.errors[0].code != INVALID_JSON


@dataclass(slots=True)
class Verdict:
    """What the validator says of a batch."""

    record_count: int
    accepted: list[tuple[int, Envelope]] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    attachment_count: int = 0
    is_mixed: bool = False
    type: str = UNKNOWN_TYPE

    @property
    def error_count(self) -> int:
        """All errors of all records."""
        return sum(len(record.errors) for record in self.rejected)

    def first_errors(self, limit: int = 20) -> list[dict[str, str | int]]:
        """The first errors by index, as the API shows them."""
        found: list[dict[str, str | int]] = [
            {"index": record.index, "code": error.code, "message": error.message}
            for record in self.rejected[:limit]
            for error in record.errors
        ]
        return found[:limit]


def examine(raws: Sequence[bytes], lookup: Lookup) -> Verdict:
    """Check every record: its schema, then (where that holds) the product and projects that it names."""
    verdict = Verdict(record_count=len(raws))
    valid: list[tuple[int, Envelope]] = []
    for index, raw in enumerate(raws):
        result = check_schema(raw)
        if isinstance(result, list):
            verdict.rejected.append(Rejected(index, raw, result))
            verdict.attachment_count += attachment_count(raw)
        else:
            valid.append((index, result))
            verdict.attachment_count += len(result.attachment_list)
    verdict.is_mixed = len({(e.type.lower(), e.product_id) for _, e in valid}) > 1
    verdict.type = valid[0][1].type.lower() if valid else _first_type(raws)
    catalog = (
        lookup({e.product_id for _, e in valid}, {p for _, e in valid for p in e.all_project_ids}) if valid else None
    )
    for index, envelope in valid:
        assert catalog is not None
        if errors := check_known(envelope, catalog):
            verdict.rejected.append(Rejected(index, raws[index], errors))
        else:
            verdict.accepted.append((index, envelope))
    verdict.rejected.sort(key=lambda record: record.index)
    return verdict


def _first_type(raws: Sequence[bytes]) -> str:
    return next((found for found in map(declared_type, raws) if found), UNKNOWN_TYPE)


@dataclass(frozen=True, slots=True)
class LandedRecord:
    """An accepted record, ready for the archive and the index."""

    index: int
    id: UUID
    digest: bytes
    normalized: NormalizedRecord


def prepare(accepted: Sequence[tuple[int, Envelope]], workspace_id: int) -> list[LandedRecord]:
    """Normalize and identify."""
    landed: list[LandedRecord] = []
    for index, envelope in accepted:
        normalized = normalize(envelope)
        landed.append(
            LandedRecord(
                index, identity.record_id(workspace_id, normalized), identity.content_digest(normalized), normalized
            )
        )
    return landed
