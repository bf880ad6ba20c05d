"""Lake and attachments read only a few columns of the models of ingest that their foreign keys point to."""

import re
from pathlib import Path

import pytest
from django.apps import apps

ROOT = Path(__file__).resolve().parent.parent
# As `evermuse/docs/architecture.md` lists them.
READ = {"workspace": {"id", "name", "products", "legal_hold"}, "batch": {"id", "type", "created_at"}}
_LOOKUP = re.compile(r"\b(workspace|batch)__(\w+)")
_ATTRIBUTE = re.compile(r"\.(workspace|batch)\.(\w+)")


def columns_read(source: str, columns: dict[str, set[str]]) -> set[tuple[str, str]]:
    """Returns the columns of workspaces and batches that a module reads through a relation."""
    lookups = {(model, path.partition("__")[0]) for model, path in _LOOKUP.findall(source)}
    found = lookups | set(_ATTRIBUTE.findall(source))
    return {(model, column) for model, column in found if column in columns[model]}


def all_columns() -> dict[str, set[str]]:
    return {
        name: {field.name for field in apps.get_model("ingest", name)._meta.get_fields()} | {"pk"}
        for name in ("workspace", "batch")
    }


@pytest.mark.parametrize("app", ["lake", "attachments"])
def test_lower_app_reads_only_the_listed_columns_of_workspaces_and_batches(app: str) -> None:
    columns = all_columns()
    found: set[tuple[str, str]] = set()
    for path in (ROOT / app).rglob("*.py"):
        if "migrations" not in path.parts:
            found |= columns_read(path.read_text(), columns)
    assert {(model, column) for model, column in found if column not in READ[model]} == set()


def test_column_that_is_not_listed_is_found_in_a_lookup_and_in_an_attribute() -> None:
    source = "rows.filter(batch__status='LANDED', workspace__name='a'); file.batch.created_at; line.batch.number"
    assert columns_read(source, all_columns()) == {("batch", "status"), ("workspace", "name"), ("batch", "created_at")}
