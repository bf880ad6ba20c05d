from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    # Concurrently: intents are made meanwhile.
    atomic = False

    dependencies = [
        ('attachments', '0007_upload_quota'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='uploadintent',
            index=models.Index(condition=models.Q(('is_cleared', False)), fields=['workspace', 'id'], name='intent_in_quota'),
        ),
    ]
