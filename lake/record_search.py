"""The admin's search for records with an exact text, over all workspaces."""

from collections.abc import Sequence
from uuid import UUID

from django.db import connection, transaction

# The most records that a search shows, because half of all records may have the same tag.
MOST = 1000

# Looks each term, and each set that contains it, up in the indexes and never scans the table. The planner cannot know that most
# terms match nothing.
FIND = """
SELECT found.id FROM unnest(%(terms)s::bigint[]) AS wanted (term) CROSS JOIN LATERAL (
  (SELECT id FROM lake_record WHERE terms @> ARRAY[wanted.term] LIMIT %(most)s)
  UNION ALL (SELECT id FROM lake_record WHERE thread_term = wanted.term LIMIT %(most)s)
  UNION ALL (SELECT id FROM lake_record WHERE vendor_term = wanted.term LIMIT %(most)s)
  UNION ALL SELECT of_set.id FROM lake_termset s CROSS JOIN LATERAL (
    (SELECT id FROM lake_record WHERE terms @> ARRAY[s.id] LIMIT %(most)s)
    UNION ALL (
      SELECT id FROM lake_record WHERE term_set = (s.id & 2147483647)::int AND workspace_id = s.workspace_id LIMIT %(most)s
    )
  ) AS of_set WHERE s.terms @> ARRAY[wanted.term]
) AS found LIMIT %(most)s
"""


# Steps from one workspace to the next in the index, so the cost grows with the workspaces and not with the records.
WORKSPACES = """
WITH RECURSIVE found (id) AS (
  (SELECT workspace_id FROM lake_record ORDER BY workspace_id LIMIT 1)
  UNION ALL
  SELECT (SELECT workspace_id FROM lake_record WHERE workspace_id > found.id ORDER BY workspace_id LIMIT 1)
  FROM found WHERE found.id IS NOT NULL
)
SELECT id FROM found WHERE id IS NOT NULL
"""


def workspace_ids() -> list[int]:
    """Ids of the workspaces that have records."""
    with connection.cursor() as cursor:
        cursor.execute(WORKSPACES)
        return [workspace_id for (workspace_id,) in cursor.fetchall()]


def ids_of(terms: Sequence[int]) -> list[UUID]:
    """Ids of records that have one of these terms, at most `MOST`."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(FIND, {"terms": list(terms), "most": MOST})
        found = list({row[0] for row in cursor.fetchall()})
        cursor.execute("SET LOCAL enable_seqscan = on")
    return found
