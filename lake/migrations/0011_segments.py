"""Segments: objects that hold the lines of many batches, and where each batch's lines are."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ingest', '0011_payload_to_lake'),
        ('lake', '0010_versions_by_age'),
    ]

    operations = [
        migrations.CreateModel(
            name='Segment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.CharField(max_length=64)),
                ('type', models.CharField(max_length=32)),
                ('day', models.DateField(help_text='The UTC date on which its records were accepted.')),
                ('key', models.TextField(help_text='In the bucket; a part of it is random.')),
                ('layout', models.PositiveSmallIntegerField(choices=[(0, 'one batch, one zstd frame, no listing: written by versions before segments'), (1, 'blocks with listings (lake.segments.layout)')], default=1)),
                ('state', models.CharField(choices=[('I', 'Intended'), ('L', 'Live'), ('R', 'Replaced'), ('A', 'Abandoned')], max_length=1)),
                ('size', models.BigIntegerField(help_text='Bytes in the object store, compressed.')),
                ('line_count', models.PositiveIntegerField()),
                ('dead_count', models.PositiveIntegerField(db_default=0, default=0, help_text='Lines whose record was removed.')),
                ('created_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField(help_text='When the sweeper deletes the object, unless it is live.', null=True)),
                ('sweeps', models.PositiveSmallIntegerField(db_default=0, default=0, help_text='How often its object was deleted.')),
                ('claim_token', models.BigIntegerField(db_default=0, default=0)),
                ('claimed_until', models.DateTimeField(help_text='A compaction reads it.', null=True)),
                ('workspace', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ingest.workspace')),
            ],
        ),
        migrations.CreateModel(
            name='SegmentBatch',
            fields=[
                ('batch', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='segment_lines', serialize=False, to='ingest.batch')),
                ('segment', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='lake.segment')),
                ('line_count', models.IntegerField()),
                ('start', models.IntegerField(help_text='Where its first block begins in the object, in bytes.')),
                ('length', models.IntegerField(help_text='Bytes of its blocks together.')),
                ('ends', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), help_text='Where each block ends, from `start`.', null=True, size=None)),
                ('firsts', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), help_text="The offset of each block's first line.", null=True, size=None)),
            ],
        ),
        migrations.AddField(
            model_name='changeclock',
            name='claimed',
            field=models.IntegerField(db_default=0, default=0, help_text='Batches of the claim that drew it.'),
        ),
        migrations.AddIndex(
            model_name='segment',
            index=models.Index(condition=models.Q(('state', 'L'), _negated=True), fields=['expires_at'], name='segment_to_sweep'),
        ),
        migrations.AddIndex(
            model_name='segment',
            index=models.Index(condition=models.Q(('size__lt', 67108864), ('state', 'L')), fields=['workspace', 'source', 'type', 'day'], name='segment_small'),
        ),
    ]
