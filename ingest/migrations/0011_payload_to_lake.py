"""The model of payloads moves to the lake, where records are read from them; the table moves in `lake` 0009."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('ingest', '0010_claims_by_workspace'),
        ('lake', '0008_vendor_keys'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(state_operations=[migrations.DeleteModel(name='Payload')]),
    ]
