"""Retention finds replaced versions by their age."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    # Concurrently: records land meanwhile.
    atomic = False

    dependencies = [
        ('lake', '0009_payload'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='recordversion',
            index=models.Index(fields=['replaced_at'], name='version_by_age'),
        ),
    ]
