"""The table of the example."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []

    operations = [
        migrations.CreateModel(
            name="RecordLanguage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("batch_id", models.BigIntegerField()),
                ("record_index", models.PositiveIntegerField(help_text="Its place in the batch, from 0.")),
                ("record_id", models.UUIDField()),
                (
                    "language",
                    models.CharField(
                        blank=True, help_text="ISO 639-1; empty where there is no text.", max_length=8
                    ),
                ),
                ("words", models.PositiveIntegerField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("batch_id", "record_index"), name="record_language_once")
                ]
            },
        )
    ]
