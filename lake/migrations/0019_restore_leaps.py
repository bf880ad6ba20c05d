"""A database that is restored a second time learns from the bucket which ids no earlier life of it has given."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('lake', '0018_restore_mark'),
    ]

    operations = [
        migrations.AddField(
            model_name='restoremark',
            name='leaps',
            field=models.JSONField(default=dict, help_text='By sequence, the ranges that leaps have skipped: nobody was given these ids.'),
        ),
    ]
