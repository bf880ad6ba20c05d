"""The statements that write the index, for its compact columns and for those of the previous version (`lake.index_layout`)."""

from typing import NamedTuple

# Rows are written in the order of their keys, so that two workers cannot deadlock. Values that all records of a batch
# share are sent once for each batch: ``b`` is the number of a row's batch, and ``lo`` and ``hi`` select its terms from
# all terms. 0 stands for NULL.
_INCOMING = """
  SELECT * FROM unnest(%(id)b::uuid[], %(b)b::int[], %(event_at)b::timestamptz[], %(lo)b::int[], %(hi)b::int[],
    %(digest)b::bytea[], %(body_offset)b::int[], %(body_size)b::int[], %(thread)b::bigint[], %(vendor)b::bigint[],
    %(term_set)b::int[]) WITH ORDINALITY
    AS i (id, b, event_at, lo, hi, digest, body_offset, body_size, thread, vendor, term_set, n)
"""
_SEQUENCE = "(%(sequence)b::bigint[])[i.b]"
_TERMS = "(%(terms)b::bigint[])[i.lo:i.hi]"
_SAME = "substring(k.digest, 1, 16) = i.digest"


class Layout(NamedTuple):
    """The parts in which the statements differ, as SQL. ``r`` is the row of the index, ``i`` the incoming one.

    ``last_sender``: the last batch that sent a row. ``values``: columns of a new row, with their values. ``changes``: those of
    them that an update sets if the record has changed. ``resent``: what an update sets in any case. ``checked``: columns that
    `repair` compares. ``first_accepted_at``: its value in a new row.
    """

    last_sender: str
    values: dict[str, str]
    changes: tuple[str, ...]
    resent: str
    checked: tuple[str, ...] = ()
    first_accepted_at: str = "NULL::timestamptz"


COMPACT = Layout(
    last_sender="coalesce(r.resent_by, r.batch_id)",
    values={
        "terms": f"nullif({_TERMS}, '{{}}')",
        "thread_term": "nullif(i.thread, 0)",
        "vendor_term": "nullif(i.vendor, 0)",
        "term_set": "nullif(i.term_set, 0)",
    },
    changes=("terms", "thread_term", "vendor_term", "term_set"),
    resent=f"resent_by = CASE WHEN {_SAME} THEN {_SEQUENCE} END",
)
WIDE = Layout(
    last_sender="r.sequence",
    values={
        "terms": _TERMS,
        "sequence": _SEQUENCE,
        "type": "(%(type)b::text[])[i.b]",
        "product_id": "(%(product_id)b::text[])[i.b]",
    },
    changes=("terms",),
    resent=f"sequence = {_SEQUENCE}, product_id = (%(product_id)b::text[])[i.b]",
    checked=("type", "product_id"),
    first_accepted_at="(%(accepted_at)b::timestamptz[])[i.b]",
)


def insert(layout: Layout) -> str:
    """Inserts new records, and returns their numbers.

    If another transaction is inserting the same record, this waits for it.
    """
    return f"""
WITH incoming AS ({_INCOMING}), written AS (
  INSERT INTO lake_record AS r (id, workspace_id, batch_id, version, event_at, first_accepted_at, updated_at, digest,
    body_offset, body_size, {", ".join(layout.values)})
  SELECT i.id, (%(workspace_id)b::bigint[])[i.b], {_SEQUENCE}, 1, i.event_at, {layout.first_accepted_at},
    (%(changed_at)b::timestamptz[])[i.b], i.digest, i.body_offset, i.body_size, {", ".join(layout.values.values())}
  FROM incoming i ORDER BY i.id
  ON CONFLICT (id) DO NOTHING
  RETURNING r.id
)
SELECT string_agg(CASE WHEN w.id IS NULL THEN '-' ELSE 'c' END, '' ORDER BY i.n), NULL::uuid[], NULL::bigint[]
FROM incoming i LEFT JOIN written w USING (id)
"""  # noqa: S608  (put together from constants)


def advance(layout: Layout) -> str:
    """Updates existing records. A separate statement, so that it sees what `insert` waited for.

    Rows are locked first, so that the values read from them are those that the update replaces. A row that the update skips
    was written by a later acceptance. A later acceptance may have an earlier instant; the greater one is kept, because no
    reader has seen it yet (`lake.horizon`). The place of a replaced version is stored in `RecordVersion`. Returns one letter
    for each row in their order, and a dash for a record that was removed after `insert`. Then the records that do not note yet
    when they were first accepted, and the batches that wrote their replaced versions, in the same order: `NOTE_FIRST` follows.
    """
    changed = {"body_offset": "i.body_offset", "body_size": "i.body_size"}
    changed |= {column: layout.values[column] for column in layout.changes}
    changes = ",\n    ".join(
        f"{name} = CASE WHEN {_SAME} THEN r.{name} ELSE {new} END" for name, new in changed.items()
    )
    return f"""
WITH incoming AS ({_INCOMING}), known AS (
  SELECT r.id, r.batch_id, {layout.last_sender} AS sequence, r.version, r.digest, r.body_offset, r.body_size
  FROM lake_record r WHERE r.id = ANY(%(id)b::uuid[]) ORDER BY r.id FOR NO KEY UPDATE
), written AS (
  UPDATE lake_record AS r SET
    {layout.resent},
    batch_id = CASE WHEN {_SAME} THEN r.batch_id ELSE {_SEQUENCE} END,
    version = CASE WHEN {_SAME} THEN r.version ELSE r.version + 1 END,
    updated_at = CASE WHEN {_SAME} THEN r.updated_at
      ELSE greatest(r.updated_at, (%(changed_at)b::timestamptz[])[i.b]) END,
    {changes},
    digest = i.digest
  FROM incoming i JOIN known k ON k.id = i.id
  WHERE r.id = i.id AND k.sequence < {_SEQUENCE}
  RETURNING r.id, r.batch_id, r.first_accepted_at, CASE WHEN {_SAME} THEN 'i' ELSE 'u' END AS outcome,
    k.version AS old_version, k.batch_id AS old_batch_id, k.body_offset AS old_offset, k.body_size AS old_size,
    k.digest AS old_digest
), replaced AS (
  INSERT INTO lake_recordversion (record_id, version, batch_id, body_offset, body_size, replaced_by_id, replaced_at, digest)
  SELECT id, old_version, old_batch_id, old_offset, old_size, batch_id, now(), old_digest FROM written WHERE outcome = 'u'
  ON CONFLICT (record_id, version) DO NOTHING
)
SELECT string_agg(coalesce(w.outcome, CASE WHEN k.id IS NULL THEN '-' ELSE 's' END), '' ORDER BY i.n),
  array_agg(w.id ORDER BY i.n) FILTER (WHERE w.outcome = 'u' AND w.first_accepted_at IS NULL),
  array_agg(w.old_batch_id ORDER BY i.n) FILTER (WHERE w.outcome = 'u' AND w.first_accepted_at IS NULL)
FROM incoming i LEFT JOIN written w USING (id) LEFT JOIN known k USING (id)
"""  # noqa: S608  (put together from constants)


# When records were first accepted, as soon as another batch has written over the first one's version.
NOTE_FIRST = """
UPDATE lake_record AS r SET first_accepted_at = f.at
FROM unnest(%(ids)s::uuid[], %(at)s::timestamptz[]) AS f (id, at) WHERE r.id = f.id RETURNING r.id
"""

# All terms of a row, with those of its sets, because sets come and go. Terms are sorted before they are compared, because
# a record may have a hundred thousand of them, and the operators @> and <@ compare every pair. A row of the previous version
# has the set's id among its terms, and then NULL in the other columns.
_WHOLE = """ARRAY(
    SELECT DISTINCT unnest(coalesce(s.terms, ARRAY[t.term]))
    FROM unnest(coalesce({0}.terms, '{{}}') || array_remove(ARRAY[{0}.thread_term, {0}.vendor_term], NULL)) AS t (term)
    LEFT JOIN lake_termset s ON s.id = t.term
    UNION SELECT unnest(s.terms) FROM lake_termset s
    WHERE s.workspace_id = {0}.workspace_id AND (s.id & 2147483647)::int = {0}.term_set ORDER BY 1)"""


def repair(layout: Layout) -> str:
    """Inserts missing rows of a batch, and corrects those that differ (`lake.repair`)."""
    checked = ("event_at", "body_offset", "body_size", *layout.checked)
    changes = (*checked, "digest", "updated_at", *layout.changes)
    return f"""
WITH past AS (
  SELECT v.record_id, max(v.version) AS version, min(a.accepted_at) AS accepted_at
  FROM lake_recordversion v
  LEFT JOIN unnest(%(writer)b::bigint[], %(written_at)b::timestamptz[]) AS a (batch_id, accepted_at) USING (batch_id)
  WHERE v.record_id = ANY(%(id)b::uuid[]) AND v.replaced_by_id <= (%(sequence)b::bigint[])[1]
  GROUP BY v.record_id
)
INSERT INTO lake_record AS r (id, workspace_id, batch_id, version, event_at, first_accepted_at, updated_at, digest,
  body_offset, body_size, {", ".join(layout.values)})
SELECT i.id, (%(workspace_id)b::bigint[])[i.b], {_SEQUENCE}, coalesce(past.version, 0) + 1, i.event_at,
  coalesce(past.accepted_at, {layout.first_accepted_at}), (%(changed_at)b::timestamptz[])[i.b], i.digest,
  i.body_offset, i.body_size, {", ".join(layout.values.values())}
FROM ({_INCOMING}) AS i
LEFT JOIN past ON past.record_id = i.id
WHERE NOT EXISTS (
  SELECT 1 FROM lake_recordversion v WHERE v.record_id = i.id AND v.replaced_by_id > {_SEQUENCE}
)
ORDER BY i.id
ON CONFLICT (id) DO UPDATE SET
  {", ".join(f"{name} = EXCLUDED.{name}" for name in changes)}
WHERE r.batch_id = EXCLUDED.batch_id AND NOT (
  ({", ".join(f"r.{name}" for name in checked)}, substring(r.digest, 1, 16)) IS NOT DISTINCT FROM
  ({", ".join(f"EXCLUDED.{name}" for name in checked)}, EXCLUDED.digest)
  AND {_WHOLE.format("r")} = {_WHOLE.format("EXCLUDED")})
"""  # noqa: S608  (put together from constants)


def current(layout: Layout) -> str:
    """The current versions of records of a workspace."""
    return f"""
SELECT r.id, r.version, r.batch_id, r.body_offset, {layout.last_sender}, r.first_accepted_at, r.updated_at FROM lake_record r
WHERE r.id = ANY(%s::uuid[]) AND r.workspace_id = %s ORDER BY r.id
"""  # noqa: S608  (put together from constants)
