"""Vendor ids whose key holds a colon or a percent sign get terms that no other key and value share.

Terms of all other vendor ids stay as they are.
"""

import json
import re
from hashlib import blake2b

import msgspec
import zstandard
from django.db import migrations

# Bodies of up to 5 MB each are in memory together.
BATCHES_AT_ONCE = 8
PAYLOADS = """
SELECT o.batch_id, b.workspace_id, o.letters, o.record_ids, p.size, p.frames, p.content
FROM lake_batchoutcomes o JOIN ingest_batch b ON b.id = o.batch_id JOIN ingest_payload p ON p.batch_id = o.batch_id
WHERE o.batch_id > %s ORDER BY o.batch_id LIMIT %s
"""
CURRENT = "SELECT id, body_offset, body_size FROM lake_record WHERE id = ANY(%s::uuid[]) AND batch_id = %s"
# What a killed attempt did is found done.
REPLACE = """
UPDATE lake_record SET terms = ARRAY(SELECT DISTINCT t FROM unnest(terms || %(new)s::bigint[]) t WHERE t <> ALL(%(old)s::bigint[]) ORDER BY t)
WHERE id = %(id)s AND batch_id = %(batch)s AND NOT (terms @> %(new)s::bigint[] AND NOT terms && %(old)s::bigint[])
"""


class _VendorIds(msgspec.Struct):
    vendor_ids: dict[str, str] = msgspec.field(name="_vendor_ids")


_decode = msgspec.json.Decoder(_VendorIds).decode


# The tokens of JSON that say where a value ends.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},:]', re.DOTALL)


def _vendor_ids(raw):
    try:
        return _decode(raw).vendor_ids
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return _vendor_ids_of_any_json(raw)


def _vendor_ids_of_any_json(raw):
    """The vendor ids of a record that msgspec does not decode: one with lone surrogates, or too deep for it."""
    found = {}
    depth = 0
    before = b""
    begin = None
    for token in _TOKEN.finditer(raw):
        mark = token[0]
        if depth == 1 and mark == b":" and before[:1] == b'"' and json.loads(before) == "_vendor_ids":
            begin = token.end()
        if depth == 1 and mark in (b",", b"}") and begin is not None:
            found = json.loads(raw[begin : token.start()])
            begin = None
        depth += (mark in (b"[", b"{")) - (mark in (b"]", b"}"))
        before = mark
    return found if all(isinstance(value, str) for value in found.values()) else {}


def _unpack(content, ends, size):
    decompressor = zstandard.ZstdDecompressor()
    if not ends:
        return decompressor.decompress(content, max_output_size=max(size, 1))
    return b"".join(decompressor.decompress(content[a:b]) for a, b in zip((0, *ends), ends))


def _term(workspace_id, text):
    content = f"{workspace_id}\x1fvendor\x1f{text}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big", signed=True)


def _changes(workspace_id, vendor_ids):
    """Terms to add and to remove."""
    special = [key for key in vendor_ids if ":" in key or "%" in key]
    if not special:
        return None
    new = {
        _term(workspace_id, f"{key.replace('%', '%25').replace(':', '%3A')}:{value}") for key, value in vendor_ids.items()
    }
    return sorted(new), sorted({_term(workspace_id, f"{key}:{vendor_ids[key]}") for key in special} - new)


def tell_keys_apart(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        done = 0
        while True:
            cursor.execute(PAYLOADS, [done, BATCHES_AT_ONCE])
            found = cursor.fetchall()
            if not found:
                return
            for batch_id, workspace_id, letters, record_ids, size, frames, content in found:
                keys = [bytes(record_ids[at * 16 : at * 16 + 16]).hex() for at, c in enumerate(letters) if c in "cu"]
                cursor.execute(CURRENT, [keys, batch_id])
                rows = cursor.fetchall()
                body = _unpack(bytes(content), frames, size) if rows else b""
                for record_id, offset, length in rows:
                    if changes := _changes(workspace_id, _vendor_ids(body[offset : offset + length])):
                        new, old = changes
                        cursor.execute(REPLACE, {"new": new, "old": old, "id": record_id, "batch": batch_id})
                done = batch_id


class Migration(migrations.Migration):

    # A commit a row: records land meanwhile.
    atomic = False

    dependencies = [
        ('ingest', '0009_payload_without_check'),
        ('lake', '0007_horizon'),
    ]

    operations = [migrations.RunPython(tell_keys_apart, migrations.RunPython.noop)]
