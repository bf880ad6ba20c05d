"""The indexes of the columns of terms. That of the other terms has no entries for rows without any."""

import django.contrib.postgres.indexes
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):

    # Concurrently: records land meanwhile.
    atomic = False

    dependencies = [
        ('lake', '0023_compact_index'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='record',
            index=models.Index(fields=['thread_term'], name='record_by_thread', condition=Q(thread_term__isnull=False)),
        ),
        AddIndexConcurrently(
            model_name='record',
            index=models.Index(fields=['vendor_term'], name='record_by_vendor', condition=Q(vendor_term__isnull=False)),
        ),
        AddIndexConcurrently(
            model_name='record',
            index=models.Index(fields=['term_set'], name='record_by_term_set', condition=Q(term_set__isnull=False)),
        ),
        AddIndexConcurrently(
            model_name='record',
            index=django.contrib.postgres.indexes.GinIndex('terms', name='record_other_terms', gin_pending_list_limit=128, condition=Q(terms__isnull=False)),
        ),
        RemoveIndexConcurrently(model_name='record', name='record_terms'),
    ]
