from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('lake', '0002_record_places'),
        ('ingest', '0004_find_places'),
    ]

    operations = [
        migrations.RemoveField(model_name='record', name='data'),
        migrations.RemoveField(model_name='record', name='head'),
        migrations.RemoveField(model_name='record', name='storage_uri'),
        migrations.AlterField(
            model_name='record',
            name='body_offset',
            field=models.PositiveIntegerField(help_text='Where it begins in the body of its batch, in bytes.'),
        ),
        migrations.AlterField(
            model_name='record',
            name='body_size',
            field=models.PositiveIntegerField(help_text='Bytes of it as it was sent.'),
        ),
        migrations.AlterField(
            model_name='record',
            name='workspace',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=models.PROTECT, related_name='+', to='ingest.workspace'),
        ),
        migrations.AlterField(
            model_name='record',
            name='batch',
            field=models.ForeignKey(db_constraint=False, db_index=False, help_text='Wrote this version.', on_delete=models.PROTECT, related_name='+', to='ingest.batch'),
        ),
        # A re-sent record only advances its place in the order of acceptance: room in its page keeps the indexes out of it.
        migrations.RunSQL(
            "ALTER TABLE lake_record SET (fillfactor = 85)",
            "ALTER TABLE lake_record RESET (fillfactor)",
        ),
    ]
