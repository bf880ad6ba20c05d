from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    # Concurrently: files are claimed meanwhile.
    atomic = False

    dependencies = [
        ('attachments', '0014_lane_reputation'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='lane',
            index=models.Index(condition=models.Q(('turn_at__isnull', False)), fields=['workspace', 'reputation', 'turn_at'], name='lane_turn_by_reputation'),
        ),
    ]
