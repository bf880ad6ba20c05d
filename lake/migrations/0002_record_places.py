from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('lake', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='record',
            name='body_offset',
            field=models.PositiveIntegerField(default=0, help_text='Where it begins in the body of its batch, in bytes.'),
        ),
        migrations.AddField(
            model_name='record',
            name='body_size',
            field=models.PositiveIntegerField(default=0, help_text='Bytes of it as it was sent.'),
        ),
    ]
