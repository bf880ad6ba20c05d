from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('attachments', '0013_plain_english'),
    ]

    operations = [
        migrations.AddField(
            model_name='lane',
            name='reputation',
            field=models.PositiveSmallIntegerField(choices=[(0, 'no download has ended yet'), (1, 'the last download was answered'), (2, "the last download failed by the host's fault, or was slow and gave its slot to others")], db_default=0, default=0),
        ),
    ]
