"""The table of payloads gets the lake's name. A view keeps the old name for processes of the version before."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

# Renaming waits for running statements, and new ones queue behind it: give up soon, so that no client waits for long.
RENAME = """
SET LOCAL lock_timeout = '5s';
ALTER TABLE ingest_payload RENAME TO lake_payload;
CREATE VIEW ingest_payload AS SELECT * FROM lake_payload
"""
RENAME_BACK = """
SET LOCAL lock_timeout = '5s';
DROP VIEW ingest_payload;
ALTER TABLE lake_payload RENAME TO ingest_payload
"""


class Migration(migrations.Migration):

    dependencies = [
        ('ingest', '0011_payload_to_lake'),
        ('lake', '0008_vendor_keys'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(RENAME, RENAME_BACK)],
            state_operations=[
                migrations.CreateModel(
                    name='Payload',
                    fields=[
                        ('batch', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='payload', serialize=False, to='ingest.batch')),
                        ('media_type', models.CharField(choices=[('application/json', 'Json'), ('application/x-ndjson', 'Ndjson')], max_length=24)),
                        ('query', models.CharField(blank=True, default='', max_length=64)),
                        ('size', models.PositiveIntegerField(help_text='Bytes before compression.')),
                        ('frames', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), db_default=[], default=list, help_text='Where each zstd frame ends; empty: it is one.', size=None)),
                        ('content', models.BinaryField()),
                    ],
                ),
            ],
        ),
    ]
