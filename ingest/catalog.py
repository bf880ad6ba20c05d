"""Which products and projects a workspace knows, asked for those only that a batch mentions."""

from evermuse import prepared
from ingest import sql
from lake.envelope import Catalog
from lake.landing import Lookup


def lookup_in(workspace_id: int) -> Lookup:
    """A lookup for `lake.landing.examine`; one query a batch."""

    def lookup(product_ids: set[str], project_ids: set[str]) -> Catalog:
        # PostgreSQL's text holds no NUL, so that an id with one cannot be known.
        products, projects = ([i for i in ids if "\0" not in i] for ids in (product_ids, project_ids))
        rows = prepared.rows(sql.KNOWN, [workspace_id, products, workspace_id, projects])
        return Catalog(
            product_ids=frozenset(value for kind, value in rows if kind == "product"),
            project_ids=frozenset(value for kind, value in rows if kind == "project"),
        )

    return lookup
