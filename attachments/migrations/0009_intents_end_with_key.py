"""An upload intent knows when its API key ends, so that claiming it reads no other table."""

from django.db import migrations, models

# Unclaimed intents live for an hour, so these are few.
BACKFILL = """
UPDATE attachments_uploadintent AS i SET key_ends_at = coalesce(k.revoked_at, k.expires_at) FROM ingest_apikey k
WHERE k.id = i.api_key_id AND coalesce(k.revoked_at, k.expires_at) IS NOT NULL AND i.origin IS NULL AND NOT i.is_cleared
"""


class Migration(migrations.Migration):

    dependencies = [
        ('attachments', '0008_upload_quota_index'),
        ('ingest', '0011_payload_to_lake'),
    ]

    operations = [
        migrations.AddField(
            model_name='uploadintent',
            name='key_ends_at',
            field=models.DateTimeField(help_text='When the API key that made it expires or was revoked: from then on nobody can claim it.', null=True),
        ),
        migrations.AlterField(
            model_name='uploadintent',
            name='api_key',
            field=models.ForeignKey(db_index=False, null=True, on_delete=models.deletion.SET_NULL, related_name='+', to='ingest.apikey'),
        ),
        migrations.RunSQL(BACKFILL, migrations.RunSQL.noop),
    ]
