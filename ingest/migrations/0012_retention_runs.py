"""What retention has done to each kind of row, for the overview."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ingest', '0011_payload_to_lake'),
    ]

    operations = [
        migrations.CreateModel(
            name='RetentionRun',
            fields=[
                ('kind', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('title', models.CharField(max_length=128)),
                ('days', models.PositiveIntegerField(help_text='For how long it was kept at the last run.')),
                ('ran_at', models.DateTimeField()),
                ('is_whole', models.BooleanField(help_text='Nothing that had expired was left.')),
                ('removed', models.BigIntegerField(default=0, help_text='Rows that were ever removed.')),
                ('last_removed', models.BigIntegerField(default=0, help_text='Rows of the last run that removed any.')),
                ('last_removed_at', models.DateTimeField(null=True)),
            ],
            options={
                'ordering': ['title'],
            },
        ),
    ]
