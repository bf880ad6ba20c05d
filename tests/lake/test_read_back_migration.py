"""The migration to read-back filters adds terms to records that landed before it."""

import importlib

from django.db import connection
from django.db.migrations.loader import MigrationLoader

from lake import terms
from lake.models import Record
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land
from tests.lake.index_rows import previous_columns, stored_terms
from tests.records import record

__all__ = ["previous_columns"]

RECORDS = "/api/v1/records"


def test_migration_adds_type_and_product_terms_to_older_records(api: ApiClient, previous_columns: None) -> None:
    send_and_land(api, record(type="email", tags=["a"]))
    stored = Record.objects.get()
    Record.objects.update(terms=[1, terms.term(stored.workspace_id, "tag", "a")])
    assert api.get(RECORDS, "type=email").json()["records"] == []
    migration = importlib.import_module("lake.migrations.0006_read_back_filters")
    apps = MigrationLoader(connection).project_state([("lake", "0005_lineage")]).apps
    with connection.schema_editor(atomic=False) as editor:
        migration.add_terms(apps, editor)
        migration.add_terms(apps, editor)
    for query in ("type=email", "product_id=prod-abc", "tag=a"):
        assert len(api.get(RECORDS, query).json()["records"]) == 1, query
    assert len(stored_terms(Record.objects.get())) == 4
