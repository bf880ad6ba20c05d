"""Adds the code of a batch's failure, and fills it in for batches that failed or wait."""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models

ROWS_AT_ONCE = 1000
# Rows that a worker has locked are left to the sweeper, which runs the same statement.
ADD_CODES = """
UPDATE ingest_batch SET failure_code = CASE split_part(failure, ':', 1)
  WHEN 'every record was rejected' THEN 'ALL_REJECTED' WHEN 'given up' THEN 'GIVEN_UP'
  WHEN 'object store' THEN 'STORE_UNAVAILABLE' WHEN 'database' THEN 'DATABASE_UNAVAILABLE'
  ELSE left(split_part(failure, ':', 1), 64) END
WHERE id IN (
  SELECT id FROM ingest_batch WHERE failure_code IS NULL AND NOT failure = ''
  ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
)
"""


def add_codes(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        while True:
            cursor.execute(ADD_CODES, [ROWS_AT_ONCE])
            if not cursor.rowcount:
                return


class Migration(migrations.Migration):

    # Each step commits by itself, and indexes are built concurrently: batches are accepted and land meanwhile.
    atomic = False

    dependencies = [
        ('ingest', '0013_processor_runs'),
    ]

    operations = [
        migrations.AddField(
            model_name='batch',
            name='failure_code',
            field=models.CharField(blank=True, help_text='The same for programs (`ingest.failures`); empty: no failure.', max_length=64, null=True),
        ),
        migrations.AlterField(
            model_name='batch',
            name='failure',
            field=models.TextField(blank=True, default='', help_text='Why it FAILED or last had to wait, for people.'),
        ),
        AddIndexConcurrently(
            model_name='batch',
            index=models.Index(condition=models.Q(('failure_code', None), models.Q(('failure', ''), _negated=True)), fields=['id'], name='batch_without_code'),
        ),
        migrations.RunPython(add_codes, migrations.RunPython.noop),
        AddIndexConcurrently(
            model_name='batch',
            index=models.Index(condition=models.Q(('failure_code', 'GIVEN_UP'), ('status', 'FAILED'), models.Q(('collected_token', None), ('collected_token__lt', models.F('claim_token')), _connector='OR')), fields=['id'], name='batch_given_up'),
        ),
        RemoveIndexConcurrently(model_name='batch', name='batch_to_collect'),
    ]
