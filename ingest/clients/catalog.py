"""Which products and projects a workspace knows, asked for those only that a batch mentions."""

from collections.abc import Callable

from evermuse import prepared
from ingest import sql
from lake.envelope import Catalog
from lake.landing import Lookup


def lookup_in(workspace_id: int, whole: Catalog | None = None) -> Lookup:
    """A lookup for `lake.landing.examine`: in the workspace's whole catalog where it is at hand, else one query a batch."""

    def lookup(product_ids: set[str], project_ids: set[str]) -> Catalog:
        if whole is not None:
            return whole
        # PostgreSQL's text holds no NUL, so that an id with one cannot be known.
        products, projects = ([i for i in ids if "\0" not in i] for ids in (product_ids, project_ids))
        rows = prepared.rows(sql.KNOWN, [workspace_id, products, workspace_id, projects])
        return Catalog(
            product_ids=frozenset(value for kind, value in rows if kind == "product"),
            project_ids=frozenset(value for kind, value in rows if kind == "project"),
        )

    return lookup


def remembering() -> Callable[[int], Lookup]:
    """Lookups by workspace that ask for an id once: for batches that are landed together."""
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
