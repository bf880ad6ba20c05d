"""A row that says on which timeline of PostgreSQL the database is, so that the promotion of a standby is recognised."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('lake', '0020_term_sets'),
    ]

    operations = [
        migrations.CreateModel(
            name='DatabaseTimeline',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('timeline', models.BigIntegerField(help_text='The last timeline on which this database was used.')),
                ('promoted_at', models.DateTimeField(help_text='When a new timeline was found. Empty once the bucket was compared with it.', null=True)),
                ('before', models.JSONField(default=dict, help_text='The last value of each sequence before it leapt.')),
                ('moved', models.JSONField(default=dict, help_text='Where each sequence continues.')),
            ],
        ),
    ]
