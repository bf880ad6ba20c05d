"""PostgreSQL's statistics list three times as many of the most common terms: with many millions of records, a term that they did
not list still had some thousands.
"""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('lake', '0021_timeline'),
    ]

    operations = [
        migrations.RunSQL(
            'ALTER TABLE lake_record ALTER COLUMN terms SET STATISTICS 300; ANALYZE lake_record (terms)',
            'ALTER TABLE lake_record ALTER COLUMN terms SET STATISTICS -1',
        ),
    ]
