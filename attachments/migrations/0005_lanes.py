import django.db.models.deletion
from django.db import migrations, models

# The old columns stay for workers of the last version; new rows do not name them. A later migration drops them.
DEFAULTS = """
ALTER TABLE attachments_vendorhost ALTER COLUMN failures SET DEFAULT 0, ALTER COLUMN last_error SET DEFAULT '';
"""
# Small tables of which every claim changes rows.
VACUUM = """
ALTER TABLE attachments_lanenotice SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
ALTER TABLE attachments_lane SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
ALTER TABLE attachments_workspaceturn SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
"""


class Migration(migrations.Migration):

    dependencies = [
        ('attachments', '0004_activity_indexes'),
        ('ingest', '0009_payload_without_check'),
    ]

    operations = [
        migrations.CreateModel(
            name='Lane',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('workspace', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='ingest.workspace')),
                ('host', models.TextField(blank=True, help_text='Host and port.')),
                ('failures', models.PositiveIntegerField(default=0, help_text='Attempts in a row that the host failed.')),
                ('opened_at', models.DateTimeField(blank=True, help_text='Since when the breaker is open.', null=True)),
                ('held_until', models.DateTimeField(blank=True, help_text='No download begins before.', null=True)),
                ('last_error', models.TextField(blank=True, default='')),
                ('due_at', models.DateTimeField(blank=True, help_text='When the first of the waiting files is due.', null=True)),
                ('turn_at', models.DateTimeField(blank=True, help_text='When it may be served; the place in the queue.', null=True)),
            ],
            options={
                'indexes': [
                    models.Index(condition=models.Q(('turn_at__isnull', False)), fields=['workspace', 'turn_at'], name='lane_turn'),
                    models.Index(fields=['host'], name='lane_by_host'),
                ],
                'constraints': [models.UniqueConstraint(fields=('workspace', 'host'), name='lane_once')],
            },
        ),
        migrations.CreateModel(
            name='LaneNotice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('workspace', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='ingest.workspace')),
                ('host', models.TextField()),
                ('is_served', models.BooleanField()),
            ],
        ),
        migrations.CreateModel(
            name='WorkspaceTurn',
            fields=[
                ('workspace', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to='ingest.workspace')),
                ('turn_at', models.DateTimeField(null=True)),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('turn_at__isnull', False)), fields=['turn_at'], name='workspace_turn')],
            },
        ),
        migrations.AddField(
            model_name='attachment',
            name='lone_crashes',
            field=models.PositiveIntegerField(db_default=0, default=0, help_text='Of those, while it was alone there.'),
        ),
        migrations.AlterField(
            model_name='attachment',
            name='crashes',
            field=models.PositiveIntegerField(default=0, help_text='Claims during which the worker died.'),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(DEFAULTS, migrations.RunSQL.noop)],
            state_operations=[
                migrations.RemoveField(model_name='vendorhost', name='failures'),
                migrations.RemoveField(model_name='vendorhost', name='opened_at'),
                migrations.RemoveField(model_name='vendorhost', name='held_until'),
                migrations.RemoveField(model_name='vendorhost', name='last_error'),
            ],
        ),
        migrations.RunSQL(VACUUM, migrations.RunSQL.noop),
    ]
