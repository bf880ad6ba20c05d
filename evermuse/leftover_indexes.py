"""Indexes that an interrupted run of ``migrate`` left behind. They would stop every later run.

An interrupted concurrent build leaves an invalid index: PostgreSQL maintains it and never reads it. A migration that was
interrupted after its first index runs again from its beginning, and finds this index there already.
"""

from collections.abc import Iterable

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from psycopg import sql

# An index whose build is under way is invalid too, so it is left alone.
_INVALID = """
SELECT c.relname
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname = current_schema()
  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = c.oid)
"""
_THERE = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'i' AND n.nspname = current_schema() AND c.relname = ANY(%s)
  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = c.oid)
"""


def drop() -> list[str]:
    """Drop indexes that are invalid, and those of migrations that are not applied; returns their names.

    Call it outside a transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute(_INVALID)
        found = {name for (name,) in cursor.fetchall()}
        cursor.execute(_THERE, [sorted(_of_unapplied_migrations())])
        found |= {name for (name,) in cursor.fetchall()}
        for name in sorted(found):
            cursor.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(name)))
    return sorted(found)


def _of_unapplied_migrations() -> Iterable[str]:
    loader = MigrationLoader(connection)
    for key in loader.disk_migrations:
        if key not in loader.applied_migrations:
            for operation in loader.disk_migrations[key].operations:
                if isinstance(operation, AddIndexConcurrently):
                    yield operation.index.name
