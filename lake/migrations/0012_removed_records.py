"""The list of removed records, and the index by which retention finds records of old events."""

import django.contrib.postgres.indexes
import django.db.models.deletion
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    # Concurrently: records land meanwhile.
    atomic = False

    dependencies = [
        ('ingest', '0015_workspace_retention'),
        ('lake', '0011_segments'),
    ]

    operations = [
        migrations.CreateModel(
            name='RemovedRecord',
            fields=[
                ('pk', models.CompositePrimaryKey('workspace_id', 'removed_at', 'record_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('removed_at', models.DateTimeField(help_text="An instant of the workspace's clock (`lake.horizon`).")),
                ('record_id', models.UUIDField()),
                ('reason', models.CharField(choices=[('retention', 'Retention'), ('operator', 'Operator')], max_length=16)),
                ('workspace', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='ingest.workspace')),
            ],
            options={
                'indexes': [
                    models.Index(fields=['record_id'], name='removed_by_record'),
                    models.Index(fields=['removed_at'], name='removed_by_age'),
                ],
            },
        ),
        AddIndexConcurrently(
            model_name='record',
            index=django.contrib.postgres.indexes.BrinIndex(autosummarize=True, fields=['event_at'], name='record_event_brin', pages_per_range=32),
        ),
    ]
