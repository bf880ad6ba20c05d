"""Where each record stands in the payload of its batch, for rows that were written before the index said so."""

import zstandard
from django.db import migrations

from ingest import parsers
from lake.frames import places_of


def find_places(apps, schema_editor):
    Record = apps.get_model("lake", "Record")
    outcomes = apps.get_model("lake", "BatchOutcomes").objects.select_related("batch__payload")
    for row in outcomes.filter(letters__regex="[cu]").iterator(chunk_size=100):
        records = {record.id.bytes: record for record in Record.objects.filter(batch_id=row.batch_id)}
        if not records:
            continue
        payload = row.batch.payload
        body = zstandard.ZstdDecompressor().decompress(bytes(payload.content), max_output_size=max(payload.size, 1))
        places = places_of(row.batch_id, body, parsers.split(body, payload.media_type))
        # Of the same record twice in a batch the later one is the version that counts.
        for letter, place, key in zip(row.letters, places, _keys(bytes(row.record_ids)), strict=True):
            if letter in "cu" and key in records:
                records[key].body_offset, records[key].body_size = place.offset, place.size
        Record.objects.bulk_update(records.values(), ["body_offset", "body_size"], batch_size=500)


def _keys(ids):
    return [ids[at : at + 16] for at in range(0, len(ids), 16)]


class Migration(migrations.Migration):

    dependencies = [
        ('ingest', '0003_payload_frames'),
        ('lake', '0002_record_places'),
    ]

    operations = [migrations.RunPython(find_places, migrations.RunPython.noop)]
