"""A row that says how far the database is. The bucket holds a copy, so that a database that was set back is recognised."""

from django.db import migrations, models

# Values come from the database, so that each database gets an identity of its own.
START = """
INSERT INTO lake_restoremark (id, database, tick, noted_at, drawn, found, before, moved, missing)
VALUES (1, gen_random_uuid(), 0, now(), '{}', '{}', '{}', '{}', '[]')
"""


class Migration(migrations.Migration):

    dependencies = [
        ('lake', '0017_journal'),
    ]

    operations = [
        migrations.CreateModel(
            name='RestoreMark',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('database', models.UUIDField(help_text='Made once. A restored database keeps it.')),
                ('tick', models.BigIntegerField(help_text='Counts the marks.')),
                ('noted_at', models.DateTimeField(help_text='When the last mark was counted.')),
                ('drawn', models.JSONField(help_text="The last value of each sequence that the bucket's mark names.")),
                ('set_back_at', models.DateTimeField(help_text='When the bucket was found ahead of this database. Empty once it was checked.', null=True)),
                ('found', models.JSONField(default=dict, help_text="The bucket's mark when it was found ahead.")),
                ('before', models.JSONField(default=dict, help_text='The last value of each sequence before it leapt.')),
                ('moved', models.JSONField(default=dict, help_text='Where the last leap of each sequence ended.')),
                ('missing', models.JSONField(default=list, help_text='Ranges of batch ids that the last check did not find.')),
            ],
        ),
        migrations.RunSQL(START, migrations.RunSQL.noop),
    ]
