from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models

# What waits now, for the first claim to sort into lanes. Uploads had a host named ":80" and have none any more.
SORT_WHAT_WAITS = """
UPDATE attachments_attachment SET host = '' WHERE state IN ('PENDING', 'IN_PROGRESS') AND host = ':80';
INSERT INTO attachments_lanenotice (workspace_id, host, is_served)
SELECT DISTINCT workspace_id, host, false FROM attachments_attachment WHERE state = 'PENDING';
"""


class Migration(migrations.Migration):

    # Concurrently: batches are accepted and files fetched meanwhile.
    atomic = False

    dependencies = [
        ('attachments', '0005_lanes'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='attachment',
            index=models.Index(condition=models.Q(('state', 'PENDING')), fields=['workspace', 'host', 'next_attempt_at', 'id'], name='attachment_in_lane'),
        ),
        AddIndexConcurrently(
            model_name='attachment',
            index=models.Index(condition=models.Q(('crashes__gt', 0), ('state', 'PENDING')), fields=['next_attempt_at'], name='attachment_suspect'),
        ),
        migrations.RunSQL(SORT_WHAT_WAITS, migrations.RunSQL.noop),
        RemoveIndexConcurrently(model_name='attachment', name='attachment_waiting'),
    ]
