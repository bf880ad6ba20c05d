"""Type and product become terms as the other properties are; events to come get an index of their own."""

from hashlib import blake2b

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


def _term(workspace_id, name, value):
    text = f"{workspace_id}\x1f{name}\x1f{value}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)


# Terms are a sorted set. A workspace, type and product at a time: what a killed attempt did is found done.
ADD = """
UPDATE lake_record SET terms = ARRAY(SELECT DISTINCT t FROM unnest(terms || %s::bigint[]) t ORDER BY t)
WHERE workspace_id = %s AND type = %s AND product_id = %s AND NOT terms @> %s::bigint[]
"""


def add_terms(apps, schema_editor):
    Record = apps.get_model("lake", "Record")
    kinds = Record.objects.order_by().values_list("workspace_id", "type", "product_id").distinct()
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        for workspace_id, type_, product_id in list(kinds):
            added = [_term(workspace_id, "type", type_), _term(workspace_id, "product", product_id)]
            cursor.execute(ADD, [added, workspace_id, type_, product_id, added])
        cursor.execute("RESET statement_timeout")


class Migration(migrations.Migration):

    # Concurrently: records land meanwhile.
    atomic = False

    dependencies = [
        ('lake', '0005_lineage'),
    ]

    operations = [
        migrations.RunPython(add_terms, migrations.RunPython.noop),
        AddIndexConcurrently(
            model_name='record',
            index=models.Index(condition=models.Q(('event_at__gt', models.F('updated_at'))), fields=['workspace', 'updated_at', 'id'], name='record_of_future'),
        ),
    ]
