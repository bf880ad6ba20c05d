"""A record's row has no columns that its terms or its batch have too, and its own terms have columns."""

import django.contrib.postgres.fields
from django.db import migrations, models
from django.db.models import F, IntegerField
from django.db.models.functions import Cast

# A database with data gets the new columns beside the old ones, which processes of the previous version read and write. An hour
# after this they have ended, and `lake.index_layout` drops the old columns. Without data there is nothing to wait for.
COLUMNS = """
DO $$
DECLARE definitions text[];
BEGIN
  SET LOCAL lock_timeout = '5s';
  LOCK TABLE lake_record IN ACCESS EXCLUSIVE MODE;
  IF EXISTS (SELECT FROM ingest_batch) OR EXISTS (SELECT FROM lake_record) OR EXISTS (SELECT FROM lake_segment) THEN
    ALTER TABLE lake_record ADD COLUMN resent_by bigint, ADD COLUMN thread_term bigint, ADD COLUMN vendor_term bigint,
      ADD COLUMN term_set integer, ALTER COLUMN terms DROP NOT NULL;
    INSERT INTO lake_indextransition (ends_at) VALUES (now() + interval '1 hour');
    RETURN;
  END IF;
  SELECT array_agg(pg_get_indexdef(indexrelid)) INTO definitions FROM pg_index
  WHERE indrelid = 'lake_record'::regclass AND NOT indisprimary;
  DROP TABLE lake_record;
  -- Without gaps between the columns.
  CREATE TABLE lake_record (
    id uuid NOT NULL PRIMARY KEY,
    batch_id bigint NOT NULL,
    event_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    first_accepted_at timestamptz,
    thread_term bigint,
    vendor_term bigint,
    resent_by bigint,
    workspace_id integer NOT NULL,
    version integer NOT NULL CHECK (version >= 0),
    body_offset integer NOT NULL CHECK (body_offset >= 0),
    body_size integer NOT NULL CHECK (body_size >= 0),
    term_set integer,
    digest bytea NOT NULL,
    terms bigint[]
  ) WITH (fillfactor = 97);
  FOR i IN 1 .. cardinality(definitions) LOOP
    EXECUTE definitions[i];
  END LOOP;
  ALTER TABLE lake_record ALTER COLUMN terms SET STATISTICS 300;
END $$
"""
STATISTICS = "ALTER TABLE lake_record ALTER COLUMN term_set SET STATISTICS 300"


class Migration(migrations.Migration):

    dependencies = [
        ('ingest', '0017_given_up'),
        ('lake', '0022_statistics_of_terms'),
    ]

    operations = [
        migrations.CreateModel(
            name='IndexTransition',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('ends_at', models.DateTimeField(help_text='When none of them is expected to run any more.')),
            ],
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(COLUMNS)],
            state_operations=[
                migrations.RemoveField(model_name='record', name='sequence'),
                migrations.RemoveField(model_name='record', name='type'),
                migrations.RemoveField(model_name='record', name='product_id'),
                migrations.AlterField(
                    model_name='record', name='first_accepted_at',
                    field=models.DateTimeField(null=True, help_text='Empty: when the batch that wrote this version was accepted.'),
                ),
                migrations.AddField(
                    model_name='record', name='resent_by',
                    field=models.BigIntegerField(null=True, help_text='The last batch that sent it again without a change. Empty: the batch that wrote this version.'),
                ),
                migrations.AddField(
                    model_name='record', name='thread_term',
                    field=models.BigIntegerField(null=True, help_text='The term of its thread.'),
                ),
                migrations.AddField(
                    model_name='record', name='vendor_term',
                    field=models.BigIntegerField(null=True, help_text='The term of its first vendor id.'),
                ),
                migrations.AddField(
                    model_name='record', name='term_set',
                    field=models.IntegerField(null=True, help_text='The number of its set of terms (`lake.terms.short`).'),
                ),
                migrations.AlterField(
                    model_name='record', name='terms',
                    field=django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), null=True, size=None, help_text='Its other terms.'),
                ),
            ],
        ),
        migrations.RunSQL(STATISTICS, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name='termset',
            constraint=models.UniqueConstraint(F('workspace'), Cast(F('id').bitand(2147483647), IntegerField()), name='term_set_number'),
        ),
    ]
