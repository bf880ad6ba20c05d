"""Versions are found by their digests. Versions that were replaced before this have none, and stay unknown."""

import django.contrib.postgres.indexes
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    # Concurrently: records land meanwhile.
    atomic = False

    dependencies = [
        ('lake', '0013_payload_partitions'),
    ]

    operations = [
        migrations.AddField(
            model_name='recordversion',
            name='digest',
            field=models.BinaryField(help_text="The record's while this version was the current one.", max_length=32, null=True),
        ),
        AddIndexConcurrently(
            model_name='recordversion',
            index=django.contrib.postgres.indexes.HashIndex(fields=['digest'], name='version_by_digest'),
        ),
        AddIndexConcurrently(
            model_name='record',
            index=django.contrib.postgres.indexes.HashIndex(fields=['digest'], name='record_by_digest'),
        ),
    ]
