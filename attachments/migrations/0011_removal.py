"""Files know the time of their record's event, and contents who holds them, so that retention can remove them."""

import django.contrib.postgres.indexes
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

# Some thousand rows at a time. Files that land meanwhile bring their own.
BACKFILL = """
UPDATE attachments_attachment AS a SET event_at = r.event_at FROM lake_record r
WHERE a.id > %s AND a.id <= %s AND a.event_at IS NULL AND r.id = a.record_id
"""
STEP = 5000


def fill_event_at(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(id), 0) FROM attachments_attachment")
        last = cursor.fetchone()[0]
        for start in range(0, last, STEP):
            cursor.execute(BACKFILL, [start, start + STEP])


class Migration(migrations.Migration):

    # Concurrently: files are registered meanwhile.
    atomic = False

    dependencies = [
        ('attachments', '0010_ledger_expiry'),
        ('lake', '0012_removed_records'),
    ]

    operations = [
        migrations.CreateModel(
            name='RemovedObject',
            fields=[
                ('storage_uri', models.TextField(primary_key=True, serialize=False)),
                ('since', models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name='attachment',
            name='event_at',
            field=models.DateTimeField(help_text="Of the record's event: retention goes by it.", null=True),
        ),
        migrations.RunPython(fill_event_at, migrations.RunPython.noop),
        AddIndexConcurrently(
            model_name='attachment',
            index=models.Index(fields=['record_id'], name='attachment_by_record'),
        ),
        AddIndexConcurrently(
            model_name='attachment',
            index=models.Index(fields=['workspace', 'event_at', 'id'], name='attachment_by_event'),
        ),
        AddIndexConcurrently(
            model_name='attachment',
            index=django.contrib.postgres.indexes.HashIndex(condition=models.Q(('state', 'COMPLETE')), fields=['sha256'], name='attachment_by_content'),
        ),
    ]
