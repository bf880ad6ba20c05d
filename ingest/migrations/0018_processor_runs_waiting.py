"""Adds the index by which the problem inbox finds processors that keep failing."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    # Concurrently: batches are accepted and land meanwhile.
    atomic = False

    dependencies = [
        ('ingest', '0017_given_up'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='processorrun',
            index=models.Index(condition=models.Q(('next_attempt_at__isnull', False)), fields=['batch'], name='processor_run_waiting'),
        ),
    ]
