"""Notes which batches are finished, instead of inferring it from their rows: a batch may have none."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("languages", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="FinishedBatch",
            fields=[("batch_id", models.BigIntegerField(primary_key=True, serialize=False))],
        ),
        # The pipeline may ask once more for batches that were started before.
        migrations.RunSQL(
            "INSERT INTO languages_finishedbatch (batch_id) SELECT DISTINCT batch_id FROM languages_recordlanguage",
            migrations.RunSQL.noop,
        ),
    ]
