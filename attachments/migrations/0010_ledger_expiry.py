"""Counters say whether retention has removed the attempts of their batch's files."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    # Concurrently: batches land meanwhile. Earlier processes write counters without the new column: it has a default.
    atomic = False

    dependencies = [
        ('attachments', '0009_intents_end_with_key'),
    ]

    operations = [
        migrations.AddField(
            model_name='attachmenttally',
            name='ledger_expired',
            field=models.BooleanField(db_default=False, default=False, help_text='Retention has removed the attempts (`attachments.retention`).'),
        ),
        AddIndexConcurrently(
            model_name='attachmenttally',
            index=models.Index(condition=models.Q(('ledger_expired', False)), fields=['batch'], name='tally_with_ledger'),
        ),
    ]
