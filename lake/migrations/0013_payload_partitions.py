"""Payloads move into partitions by range of batch id; the table that holds them now becomes the first one, as it is.

Nothing is copied. The name of the table becomes a view over the partitions and over the payloads that outlive theirs
(`lake.models.PayloadKept`). Processes of earlier versions insert into the view, or into the one with the oldest name.
"""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

# Ids that are drawn until the last step below is committed stay below the bound.
WIDTH = 2_000_000
AHEAD = 4

BOUND = f"""
DO $$
DECLARE bound bigint := (coalesce((SELECT max(batch_id) FROM lake_payload), 0) / {WIDTH} + 2) * {WIDTH};
BEGIN
  SET LOCAL lock_timeout = '5s';
  ALTER TABLE lake_payload DROP CONSTRAINT IF EXISTS payload_first_range;
  EXECUTE format('ALTER TABLE lake_payload ADD CONSTRAINT payload_first_range CHECK (batch_id < %s) NOT VALID', bound);
END $$
"""
# Reads the table beside everything else.
VALIDATE = """
SET statement_timeout = 0;
ALTER TABLE lake_payload VALIDATE CONSTRAINT payload_first_range;
RESET statement_timeout
"""
COLUMNS = "batch_id, media_type, query, size, frames, content"
PARTITION = f"""
DO $$
DECLARE
  bound bigint := (SELECT substring(pg_get_constraintdef(oid) FROM '[0-9]+')::bigint FROM pg_constraint
    WHERE conname = 'payload_first_range' AND conrelid = 'lake_payload'::regclass);
  first bigint;
BEGIN
  -- Renaming waits for running statements, and new ones queue behind it: give up soon, so that no client waits for long.
  SET LOCAL lock_timeout = '5s';
  DROP VIEW IF EXISTS ingest_payload;
  ALTER TABLE lake_payload RENAME TO lake_payload_p0;
  CREATE TABLE lake_payloadpart (LIKE lake_payload_p0 INCLUDING DEFAULTS INCLUDING STORAGE) PARTITION BY RANGE (batch_id);
  ALTER TABLE lake_payloadpart ADD PRIMARY KEY (batch_id);
  EXECUTE format('ALTER TABLE lake_payloadpart ATTACH PARTITION lake_payload_p0 FOR VALUES FROM (MINVALUE) TO (%s)', bound);
  FOR i IN 0..{AHEAD - 1} LOOP
    first := bound + i * {WIDTH};
    EXECUTE format('CREATE TABLE lake_payload_p%s PARTITION OF lake_payloadpart FOR VALUES FROM (%s) TO (%s)',
      first, first, first + {WIDTH});
  END LOOP;
  CREATE TABLE lake_payloadkept (LIKE lake_payloadpart INCLUDING DEFAULTS INCLUDING STORAGE, PRIMARY KEY (batch_id));
END $$;
CREATE VIEW lake_payload AS
  SELECT {COLUMNS} FROM lake_payloadpart UNION ALL SELECT {COLUMNS} FROM lake_payloadkept;
CREATE FUNCTION lake_payload_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    DELETE FROM lake_payloadpart WHERE batch_id = OLD.batch_id;
    DELETE FROM lake_payloadkept WHERE batch_id = OLD.batch_id;
  END IF;
  IF TG_OP = 'DELETE' THEN
    RETURN OLD;
  END IF;
  INSERT INTO lake_payloadpart ({COLUMNS})
  VALUES (NEW.batch_id, NEW.media_type, coalesce(NEW.query, ''), NEW.size, coalesce(NEW.frames, '{{}}'), NEW.content);
  RETURN NEW;
END $$;
CREATE TRIGGER lake_payload_write INSTEAD OF INSERT OR UPDATE OR DELETE ON lake_payload
  FOR EACH ROW EXECUTE FUNCTION lake_payload_write();
CREATE VIEW ingest_payload AS SELECT * FROM lake_payload
"""

FIELDS = [
    ('media_type', models.CharField(choices=[('application/json', 'Json'), ('application/x-ndjson', 'Ndjson')], max_length=24)),
    ('query', models.CharField(blank=True, default='', max_length=64)),
    ('size', models.PositiveIntegerField(help_text='Bytes before compression.')),
    ('frames', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), db_default=[], default=list, help_text='Where each zstd frame ends; empty: it is one.', size=None)),
    ('content', models.BinaryField()),
]


def _batch():
    return models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, primary_key=True, related_name='+', serialize=False, to='ingest.batch')


class Migration(migrations.Migration):

    # Each step commits by itself: batches are accepted and land meanwhile.
    atomic = False

    dependencies = [
        ('lake', '0012_removed_records'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(BOUND, migrations.RunSQL.noop),
                migrations.RunSQL(VALIDATE, migrations.RunSQL.noop),
                migrations.RunSQL(PARTITION, migrations.RunSQL.noop),
            ],
            state_operations=[
                migrations.CreateModel(name='PayloadPart', fields=[('batch', _batch()), *FIELDS]),
                migrations.CreateModel(name='PayloadKept', fields=[('batch', _batch()), *FIELDS]),
            ],
        ),
    ]
