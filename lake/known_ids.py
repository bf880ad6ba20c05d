"""Whether the workspace has the products and projects that a record mentions."""

from dataclasses import dataclass

from msgspec import UnsetType

from lake.envelope import Envelope
from lake.field_errors import MAX_ERRORS, UNKNOWN_PRODUCT, UNKNOWN_PROJECT, FieldError


@dataclass(frozen=True, slots=True)
class Catalog:
    """The mentioned products and projects that the workspace has."""

    product_ids: frozenset[str]
    project_ids: frozenset[str]


def check_known(envelope: Envelope, catalog: Catalog) -> list[FieldError]:
    """One error for each product or project that the workspace does not have."""
    several = [] if isinstance(envelope.project_ids, UnsetType) else envelope.project_ids
    one = envelope.project_id
    errors: list[FieldError] = []
    if envelope.product_id not in catalog.product_ids:
        message = f"_product_id: the product {_shown(envelope.product_id)} is not known in this workspace"
        errors.append(FieldError(UNKNOWN_PRODUCT, "/_product_id", message))
    if not catalog.project_ids.issuperset(several):
        # Each is reported once, at its first mention.
        seen = set(catalog.project_ids)
        for at, value in enumerate(several):
            if value in seen:
                continue
            if len(errors) >= MAX_ERRORS:
                break
            seen.add(value)
            message = f"_project_ids[{at}]: the project {_shown(value)} is not known in this workspace"
            errors.append(FieldError(UNKNOWN_PROJECT, f"/_project_ids/{at}", message))
    if len(errors) < MAX_ERRORS and isinstance(one, str) and one not in catalog.project_ids and one not in several:
        message = f"_project_id: the project {_shown(one)} is not known in this workspace"
        errors.append(FieldError(UNKNOWN_PROJECT, "/_project_id", message))
    return errors


def _shown(text: str) -> str:
    return repr(text if len(text) <= 128 else text[:127] + "…")
