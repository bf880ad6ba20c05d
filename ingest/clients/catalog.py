"""The products and projects of a workspace, looked up for those ids that a batch mentions."""

from collections.abc import Callable
from dataclasses import dataclass

from evermuse import prepared
from ingest import sql
from lake.known_ids import Catalog
from lake.landing import Lookup


@dataclass(frozen=True, slots=True)
class _KnownId:
    kind: str
    id: str


def lookup_in(workspace_id: int, whole: Catalog | None = None) -> Lookup:
    """A lookup for `lake.landing.examine`: in ``whole`` if it is given, else one query for each batch."""

    def lookup(product_ids: set[str], project_ids: set[str]) -> Catalog:
        if whole is not None:
            return whole
        # PostgreSQL's text cannot contain NUL, so an id with NUL is unknown.
        products, projects = ([i for i in ids if "\0" not in i] for ids in (product_ids, project_ids))
        parameters = {"workspace_id": workspace_id, "product_ids": products, "project_ids": projects}
        rows = prepared.rows_of(_KnownId, sql.KNOWN_IDS, parameters)
        return Catalog(
            product_ids=frozenset(row.id for row in rows if row.kind == "product"),
            project_ids=frozenset(row.id for row in rows if row.kind == "project"),
        )

    return lookup


def remembering() -> Callable[[int], Lookup]:
    """Lookups by workspace that query each id once. For batches that are landed together."""
    known: dict[int, Catalog] = {}
    asked: dict[int, tuple[set[str], set[str]]] = {}

    def of(workspace_id: int) -> Lookup:
        def lookup(product_ids: set[str], project_ids: set[str]) -> Catalog:
            products, projects = asked.setdefault(workspace_id, (set(), set()))
            if not (product_ids <= products and project_ids <= projects):
                products |= product_ids
                projects |= project_ids
                known[workspace_id] = lookup_in(workspace_id)(products, projects)
            return known[workspace_id]

        return lookup

    return of
