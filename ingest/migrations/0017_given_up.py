"""Batches that were given up keep their payloads however old: the overview and an alert look for the oldest ones."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    # Concurrently: batches are accepted and land meanwhile.
    atomic = False

    dependencies = [
        ('ingest', '0016_plain_english'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='batch',
            index=models.Index(condition=models.Q(('failure_code', 'GIVEN_UP'), ('status', 'FAILED')), fields=['id'], name='batch_given_up_at_all'),
        ),
    ]
