"""A workspace says for how long it keeps records and files, and whether it is under a legal hold."""

import django.core.validators
from django.db import migrations, models

DAYS = [django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(36500)]


class Migration(migrations.Migration):

    dependencies = [
        ('ingest', '0014_failure_code'),
    ]

    operations = [
        migrations.AddField(
            model_name='workspace',
            name='record_retention_days',
            field=models.PositiveIntegerField(blank=True, help_text='Records whose event is older are removed, with their files. Empty: they are kept.', null=True, validators=DAYS),
        ),
        migrations.AddField(
            model_name='workspace',
            name='attachment_retention_days',
            field=models.PositiveIntegerField(blank=True, help_text='Files of records whose event is older are removed. Empty: they are kept as long as their record.', null=True, validators=DAYS),
        ),
        migrations.AddField(
            model_name='workspace',
            name='legal_hold',
            field=models.BooleanField(db_default=False, default=False, help_text='Nothing of this workspace is removed, whatever else is set.'),
        ),
        migrations.AlterField(
            model_name='retentionrun',
            name='days',
            field=models.PositiveIntegerField(help_text='For how long it was kept at the last run. Empty: each workspace says for how long.', null=True),
        ),
    ]
