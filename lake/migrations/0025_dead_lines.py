"""Lines that no version needs were counted only for removed records. Compaction rewrites each earlier segment once."""

from django.db import migrations, models

MARK = "UPDATE lake_segment SET dead_count = 1 WHERE state = 'L' AND layout = 1 AND dead_count = 0"


class Migration(migrations.Migration):

    dependencies = [
        ('lake', '0024_compact_index_btrees'),
    ]

    operations = [
        migrations.AlterField(
            model_name='segment',
            name='dead_count',
            field=models.PositiveIntegerField(db_default=0, default=0, help_text='Lines that no version of a record needs.'),
        ),
        migrations.RunSQL(MARK, migrations.RunSQL.noop),
    ]
