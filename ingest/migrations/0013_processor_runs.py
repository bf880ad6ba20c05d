"""How far each processor has come with a batch. A batch without rows is one that its processors finished at once."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ingest", "0012_retention_runs")]

    operations = [
        migrations.CreateModel(
            name="ProcessorRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("processor", models.CharField(max_length=64)),
                (
                    "is_prepared",
                    models.BooleanField(
                        default=True, help_text="Whether what it writes when a batch lands is written."
                    ),
                ),
                ("started_at", models.DateTimeField(null=True)),
                ("settled_at", models.DateTimeField(null=True)),
                (
                    "attempts",
                    models.PositiveIntegerField(default=0, help_text="Attempts in a row that failed."),
                ),
                ("next_attempt_at", models.DateTimeField(null=True)),
                ("error", models.TextField(blank=True, default="", help_text="Why the last attempt failed.")),
                (
                    "batch",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="processor_runs",
                        to="ingest.batch",
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("batch", "processor"), name="processor_run_once")]
            },
        )
    ]
