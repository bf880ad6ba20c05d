"""Retention finds the batches that groups name by their age."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    # Concurrently: failures are collected meanwhile.
    atomic = False

    dependencies = [
        ('problems', '0001_initial'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='problembatch',
            index=models.Index(fields=['last_seen_at'], name='problem_batch_by_age'),
        ),
    ]
