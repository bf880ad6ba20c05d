"""Terms that many records have in common are stored once."""

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

# Processes of earlier versions do not find records by terms that are in a set. An hour after this they have ended.
START = """
INSERT INTO lake_termsetstart (starts_at)
SELECT now() + interval '1 hour' WHERE EXISTS (SELECT FROM ingest_batch)
"""
# Still room for one row in a page, since rows are shorter now.
ROOM = "ALTER TABLE lake_record SET (fillfactor = 97)"
ROOM_BEFORE = "ALTER TABLE lake_record SET (fillfactor = 95)"
# A record has a third of the entries that it had.
GIN_LIST = "ALTER INDEX record_terms SET (gin_pending_list_limit = 128)"
GIN_LIST_BEFORE = "ALTER INDEX record_terms SET (gin_pending_list_limit = 512)"


class Migration(migrations.Migration):

    dependencies = [
        ('ingest', '0017_given_up'),
        ('lake', '0019_restore_leaps'),
    ]

    operations = [
        migrations.CreateModel(
            name='TermSet',
            fields=[
                ('id', models.BigIntegerField(help_text='A hash of the terms.', primary_key=True, serialize=False)),
                ('terms', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None)),
                ('checked_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='When a record was last known to use it.')),
                ('workspace', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='ingest.workspace')),
            ],
            options={
                'indexes': [django.contrib.postgres.indexes.GinIndex('terms', fastupdate=False, name='term_set_terms')],
            },
        ),
        migrations.CreateModel(
            name='TermSetStart',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('starts_at', models.DateTimeField(help_text='When no process of an earlier version is expected to run any more.')),
            ],
        ),
        migrations.RunSQL(START, migrations.RunSQL.noop),
        migrations.RunSQL(ROOM, ROOM_BEFORE),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(GIN_LIST, GIN_LIST_BEFORE)],
            state_operations=[
                migrations.RemoveIndex(model_name='record', name='record_terms'),
                migrations.AddIndex(
                    model_name='record',
                    index=django.contrib.postgres.indexes.GinIndex('terms', name='record_terms', gin_pending_list_limit=128),
                ),
            ],
        ),
    ]
