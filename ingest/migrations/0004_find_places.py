"""Fills in the place of each record in the payload of its batch, for rows written before the index had places."""

import json
import re

import zstandard
from django.db import migrations

SPACE = b" \t\r\n"
BOM = b"\xef\xbb\xbf"
# The tokens of JSON that say where a value ends. The bodies were parsed when they were accepted, whatever their depth.
TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},:]', re.DOTALL)


def find_places(apps, schema_editor):
    Record = apps.get_model("lake", "Record")
    outcomes = apps.get_model("lake", "BatchOutcomes").objects.select_related("batch__payload")
    for row in outcomes.filter(letters__regex="[cu]").iterator(chunk_size=100):
        records = {record.id.bytes: record for record in Record.objects.filter(batch_id=row.batch_id)}
        if not records:
            continue
        payload = row.batch.payload
        body = zstandard.ZstdDecompressor().decompress(bytes(payload.content), max_output_size=max(payload.size, 1))
        found = lines(body) if payload.media_type == "application/x-ndjson" else records_of_json(body)
        # Of the same record twice in a batch the later one is the version that counts.
        for letter, place, key in zip(row.letters, found, keys(bytes(row.record_ids)), strict=True):
            if letter in "cu" and key in records:
                records[key].body_offset, records[key].body_size = place
        Record.objects.bulk_update(records.values(), ["body_offset", "body_size"], batch_size=500)


def keys(ids):
    return [ids[at : at + 16] for at in range(0, len(ids), 16)]


def lines(body):
    """Offset and size of each line that is not blank."""
    start = len(BOM) if body.startswith(BOM) else 0
    found = []
    while start <= len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        if place := stripped(body, start, end):
            found.append(place)
        start = end + 1
    return found


def records_of_json(body):
    """Offset and size of each record: of an array, of ``{"records": [...]}``, or of one object."""
    begin = len(BOM) if body.startswith(BOM) else 0
    whole = stripped(body, begin, len(body))
    start = whole[0]
    if body[start : start + 1] == b"[":
        return elements(body, start)
    opening = TOKEN.match(body, stripped(body, start + 1, len(body))[0])
    if opening and opening[0][:1] == b'"' and json.loads(opening[0]) == "records":
        return elements(body, body.index(b"[", opening.end()))
    return [whole]


def elements(body, start):
    """Offset and size of each element of the array that begins at ``start``."""
    found = []
    depth = 0
    begin = start + 1
    for token in TOKEN.finditer(body, start):
        mark = token[0]
        if (mark == b"," and depth == 1) or (mark == b"]" and depth == 1):
            if place := stripped(body, begin, token.start()):
                found.append(place)
            begin = token.end()
        if mark in (b"[", b"{"):
            depth += 1
        elif mark in (b"]", b"}"):
            depth -= 1
            if depth == 0:
                break
    return found


def stripped(body, start, end):
    """Offset and size of a slice without the white space around it; None if nothing is left."""
    content = body[start:end]
    size = len(content.strip(SPACE))
    return (start + len(content) - len(content.lstrip(SPACE)), size) if size else None


class Migration(migrations.Migration):

    dependencies = [
        ('ingest', '0003_payload_frames'),
        ('lake', '0002_record_places'),
    ]

    operations = [migrations.RunPython(find_places, migrations.RunPython.noop)]
