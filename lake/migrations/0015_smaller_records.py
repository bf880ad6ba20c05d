"""A row of the index of records takes fewer bytes, and so do its indexes.

Lists need only the workspace and the instant of a change in their index: the rows of one landing, at most a few thousand, are
sorted when they are read. A digest is found by its first seven bytes, which make the smallest entry that a B-tree can have.
"""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models.functions import Substr

# Columns without gaps between them, and without the columns that were dropped: those take 8 bytes in every row. Only a new
# installation gets a new table. One with records keeps its own, which differs in nothing but the order of its columns.
ORDER = """
DO $$
DECLARE definitions text[];
BEGIN
  IF EXISTS (SELECT FROM lake_record) OR EXISTS (SELECT FROM lake_segment) THEN
    RETURN;
  END IF;
  SET LOCAL lock_timeout = '5s';
  LOCK TABLE lake_record IN ACCESS EXCLUSIVE MODE;
  IF EXISTS (SELECT FROM lake_record) THEN
    RETURN;
  END IF;
  SELECT array_agg(pg_get_indexdef(indexrelid)) INTO definitions FROM pg_index
  WHERE indrelid = 'lake_record'::regclass AND NOT indisprimary;
  DROP TABLE lake_record;
  CREATE TABLE lake_record (
    id uuid NOT NULL PRIMARY KEY,
    workspace_id bigint NOT NULL,
    batch_id bigint NOT NULL,
    sequence bigint NOT NULL,
    event_at timestamptz NOT NULL,
    first_accepted_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version integer NOT NULL CHECK (version >= 0),
    body_offset integer NOT NULL CHECK (body_offset >= 0),
    body_size integer NOT NULL CHECK (body_size >= 0),
    digest bytea NOT NULL,
    type varchar(32) NOT NULL,
    product_id text NOT NULL,
    terms bigint[] NOT NULL
  );
  FOR i IN 1 .. cardinality(definitions) LOOP
    EXECUTE definitions[i];
  END LOOP;
END $$
"""
# A record that is sent again unchanged needs room for one row in its page.
ROOM = "ALTER TABLE lake_record SET (fillfactor = 95)"
ROOM_BEFORE = "ALTER TABLE lake_record SET (fillfactor = 85)"
# Every filter reads the entries that wait in the list, and the index keeps the pages of a list that was long.
GIN_LIST = "ALTER INDEX record_terms SET (gin_pending_list_limit = 512)"
GIN_LIST_BEFORE = "ALTER INDEX record_terms RESET (gin_pending_list_limit)"

DIGEST_HELP = "The first 16 bytes of SHA-256 of the normalized envelope and the bytes of data. Rows of earlier versions have all 32."


class Migration(migrations.Migration):

    # Concurrently: records land meanwhile.
    atomic = False

    dependencies = [
        ('lake', '0014_known_versions'),
    ]

    operations = [
        migrations.RunSQL(ORDER, migrations.RunSQL.noop),
        migrations.RunSQL(ROOM, ROOM_BEFORE),
        AddIndexConcurrently(
            model_name='record',
            index=models.Index(fields=['workspace', 'updated_at'], name='record_by_instant'),
        ),
        RemoveIndexConcurrently(model_name='record', name='record_by_change'),
        AddIndexConcurrently(
            model_name='record',
            index=models.Index(Substr('digest', 1, 7), name='record_by_digest_start'),
        ),
        RemoveIndexConcurrently(model_name='record', name='record_by_digest'),
        AddIndexConcurrently(
            model_name='recordversion',
            index=models.Index(Substr('digest', 1, 7), name='version_by_digest_start'),
        ),
        RemoveIndexConcurrently(model_name='recordversion', name='version_by_digest'),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(GIN_LIST, GIN_LIST_BEFORE)],
            state_operations=[
                migrations.RemoveIndex(model_name='record', name='record_terms'),
                migrations.AddIndex(
                    model_name='record',
                    index=GinIndex('terms', name='record_terms', gin_pending_list_limit=512),
                ),
            ],
        ),
        # Without any statement.
        migrations.AlterField(
            model_name='record',
            name='digest',
            field=models.BinaryField(help_text=DIGEST_HELP, max_length=32),
        ),
    ]
