"""The schema has nothing that the models do not have, but for what the architecture page lists for the next release."""

import re

import pytest
from django.apps import apps
from django.db import connection

from deploy.docs import SOURCES

APPS = ("ingest", "problems", "activity", "attachments", "lake")
# Every table and view of the product, with its columns, without partitions.
COLUMNS = """
SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
  AND a.attnum > 0 AND NOT a.attisdropped AND split_part(c.relname, '_', 1) = ANY(%s)
"""


def modelled() -> set[tuple[str, str]]:
    """Returns the tables and columns of all models."""
    found: set[tuple[str, str]] = set()
    for model in apps.get_models(include_auto_created=True):
        found |= {(model._meta.db_table, field.column) for field in model._meta.local_concrete_fields if field.column}
    return found


def listed() -> str:
    """Returns the page's decision on leftovers."""
    text = (SOURCES / "architecture.md").read_text()
    return text.partition("### Migrations expand first and contract a release later\n")[2].partition("\n### ")[0]


@pytest.mark.django_db
def test_leftovers_of_earlier_versions_are_exactly_the_listed_ones() -> None:
    with connection.cursor() as cursor:
        cursor.execute(COLUMNS, [list(APPS)])
        present = {(table, column) for table, column in cursor.fetchall()}
    assert ("lake_record", "id") in present
    tables = {table for table, _ in modelled()}
    unknown = {column if table in tables else table for table, column in present - modelled()}
    named = set(re.findall(r"`([a-z_]+)`", listed()))
    # A table with a model of its own, and the table of the columns.
    assert named - unknown == {"lake_archivedobject", "attachments_vendorhost"}
    assert unknown - named == set()
