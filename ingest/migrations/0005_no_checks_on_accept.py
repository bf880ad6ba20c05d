import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ingest', '0004_find_places'),
    ]

    operations = [
        migrations.AlterField(
            model_name='batch',
            name='workspace',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='batches', to='ingest.workspace'),
        ),
        migrations.AlterField(
            model_name='batch',
            name='api_key',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='batches', to='ingest.apikey'),
        ),
    ]
