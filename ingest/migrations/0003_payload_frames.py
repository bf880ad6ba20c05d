import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ingest', '0002_roles'),
    ]

    operations = [
        migrations.AddField(
            model_name='payload',
            name='frames',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), db_default=[], default=list, help_text='Where each zstd frame ends; empty: it is one.', size=None),
        ),
        # It is compressed already: PostgreSQL need not try, and reads a part of it without the rest.
        migrations.RunSQL(
            "ALTER TABLE ingest_payload ALTER COLUMN content SET STORAGE EXTERNAL",
            "ALTER TABLE ingest_payload ALTER COLUMN content SET STORAGE EXTENDED",
        ),
    ]
