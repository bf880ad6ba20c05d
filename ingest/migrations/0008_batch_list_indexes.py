from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    # Concurrently: batches are accepted meanwhile.
    atomic = False

    dependencies = [
        ('ingest', '0007_activity_indexes'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='batch',
            index=models.Index(fields=['workspace', 'source', '-id'], name='batch_by_source'),
        ),
        AddIndexConcurrently(
            model_name='batch',
            index=models.Index(fields=['workspace', 'type', '-id'], name='batch_by_type'),
        ),
        AddIndexConcurrently(
            model_name='batch',
            index=models.Index(fields=['workspace', '-created_at', '-id'], name='batch_by_time'),
        ),
        AddIndexConcurrently(
            model_name='batch',
            index=models.Index(condition=models.Q(('status', 'FAILED')), fields=['workspace', '-id'], name='batch_failed_of'),
        ),
    ]
