"""Each workspace's clock of changes, which goes on from the last change that is stored, and its open landings."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

SEED = """
INSERT INTO lake_changeclock (workspace_id, at)
SELECT id, at FROM (
  SELECT w.id, (SELECT max(r.updated_at) FROM lake_record r WHERE r.workspace_id = w.id) AS at FROM ingest_workspace w
) AS found WHERE at IS NOT NULL
"""
# Room in a page for a row's next version: then an update needs no new entry in the index.
ROOM = "ALTER TABLE lake_changeclock SET (fillfactor = 50); ALTER TABLE lake_openlanding SET (fillfactor = 50)"


class Migration(migrations.Migration):

    dependencies = [
        ('ingest', '0009_payload_without_check'),
        ('lake', '0006_read_back_filters'),
    ]

    operations = [
        migrations.CreateModel(
            name='ChangeClock',
            fields=[
                ('workspace', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to='ingest.workspace')),
                ('at', models.DateTimeField()),
            ],
        ),
        migrations.AlterField(
            model_name='record',
            name='updated_at',
            field=models.DateTimeField(help_text='The instant of the landing that wrote this version (`lake.horizon`).'),
        ),
        migrations.CreateModel(
            name='OpenLanding',
            fields=[
                ('pk', models.CompositePrimaryKey('workspace_id', 'at', blank=True, editable=False, primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('batch_ids', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), help_text='Its batches that have not landed or been given back yet.', size=None)),
                ('workspace', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='ingest.workspace')),
            ],
        ),
        migrations.RunSQL(SEED, migrations.RunSQL.noop),
        migrations.RunSQL(ROOM, migrations.RunSQL.noop),
    ]
