"""Indexes by which claims take turns among workspaces, and the sweeper finds batches that have landed and no more."""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    # Concurrently: batches are accepted and land meanwhile.
    atomic = False

    dependencies = [
        ('ingest', '0009_payload_without_check'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='batch',
            index=models.Index(condition=models.Q(('status', 'LANDING')), fields=['workspace', 'id'], name='batch_waiting_of'),
        ),
        AddIndexConcurrently(
            model_name='batch',
            index=models.Index(condition=models.Q(('status__in', ['LANDED', 'PROCESSING'])), fields=['status', 'id'], name='batch_unsettled_by_status'),
        ),
        RemoveIndexConcurrently(model_name='batch', name='batch_waiting'),
        RemoveIndexConcurrently(model_name='batch', name='batch_unsettled'),
    ]
