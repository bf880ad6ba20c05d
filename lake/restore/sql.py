"""Raw SQL of the check after a restore."""

# A row of a segment that did not count when the backup was taken. ``dead``: 1 lets compaction rewrite it once, because nobody
# counted its lines that no version needs.
REVIVE = """
UPDATE lake_segment SET state = 'L', expires_at = NULL, claimed_until = NULL, size = %(size)s, line_count = %(lines)s,
  dead_count = greatest(dead_count, %(dead)s)
WHERE key = %(key)s RETURNING id
"""
ADOPT = """
INSERT INTO lake_segment (workspace_id, source, type, day, key, layout, state, size, line_count, dead_count, created_at, sweeps,
  claim_token)
VALUES (%(workspace)s, %(source)s, %(type)s, %(day)s, %(key)s, %(layout)s, 'L', %(size)s, %(lines)s, %(dead)s, statement_timestamp(),
  0, 0)
RETURNING id
"""
LIVE = "SELECT id, key, layout::int FROM lake_segment WHERE state = 'L'"
KNOWN = "SELECT key FROM lake_segment WHERE state <> 'L'"

BATCHES_IN = """
SELECT batch_id, segment_id FROM lake_segmentbatch WHERE segment_id = ANY(%s::bigint[]) AND line_count > 0 ORDER BY batch_id
"""
# None of their lines is needed any more.
EMPTY = """
UPDATE lake_segmentbatch SET line_count = 0, start = 0, length = 0, ends = NULL, firsts = NULL WHERE batch_id = ANY(%s::bigint[])
"""
# Their objects are gone, and no batch points to them.
FORGET_GONE = """
DELETE FROM lake_segment s WHERE s.id = ANY(%s::bigint[]) AND s.state = 'L'
  AND NOT EXISTS (SELECT FROM lake_segmentbatch b WHERE b.segment_id = s.id AND b.line_count > 0)
"""

LAST_NUMBER = "SELECT last_number FROM lake_journal WHERE workspace_id = %s"
# Entries that were bound to numbers get new ones. They only name rows, so it does not matter when they are written.
CONTINUE_JOURNAL = """
INSERT INTO lake_journal (workspace_id, last_number, bound, claim_token) VALUES (%(workspace)s, %(last)s, '{}', 0)
ON CONFLICT (workspace_id) DO UPDATE SET last_number = greatest(lake_journal.last_number, EXCLUDED.last_number), bound = '{}',
  claim_token = lake_journal.claim_token + 1, claimed_until = NULL
"""
# The journal lists all records again, because its events after the backup may differ from what the database holds now.
# The row is missing if somebody emptied the tables by hand.
FILL_AGAIN = """
INSERT INTO lake_journalfill AS f (id, starts_at, after_id, ended_at)
VALUES (1, statement_timestamp(), '00000000-0000-0000-0000-000000000000', NULL)
ON CONFLICT (id) DO UPDATE SET after_id = EXCLUDED.after_id, ended_at = NULL, starts_at = least(f.starts_at, EXCLUDED.starts_at)
"""

# Asked first, because selecting from a missing table writes an error to the log of a new database.
HAS_TIMELINE = "SELECT to_regclass('lake_databasetimeline') IS NOT NULL"
TIMELINE = "SELECT timeline FROM lake_databasetimeline WHERE id = 1"
FIRST_TIMELINE = """
INSERT INTO lake_databasetimeline (id, timeline, before, moved) VALUES (1, %s, '{}', '{}') ON CONFLICT (id) DO NOTHING
"""
LATER_TIMELINE = "UPDATE lake_databasetimeline SET timeline = %s WHERE id = 1"
_DRAWN = """
  SELECT sequencename::text AS name, format('%%I.%%I', schemaname, sequencename)::regclass AS sequence,
    coalesce(last_value, 0) AS value
  FROM pg_sequences WHERE schemaname = current_schema() AND data_type = 'bigint'::regtype
"""
# An earlier promotion that was not compared with the bucket keeps its values.
BEFORE_LEAP = f"""
UPDATE lake_databasetimeline AS t SET promoted_at = clock_timestamp(), before = told.before
FROM (SELECT jsonb_object_agg(name, value) AS before FROM ({_DRAWN}) AS drawn) AS told
WHERE t.id = %(row)s AND t.promoted_at IS NULL
"""
# A sequence that has leapt does not go back with its transaction. So its previous value is committed first.
LEAP = f"""
WITH drawn AS MATERIALIZED ({_DRAWN}),
leapt AS MATERIALIZED (SELECT name, setval(sequence, value + %(leap)s) AS moved FROM drawn),
told AS (SELECT jsonb_object_agg(name, moved) AS moved FROM leapt)
UPDATE lake_databasetimeline AS t SET timeline = %(timeline)s, promoted_at = clock_timestamp(), moved = told.moved
FROM told WHERE t.id = 1
"""
JOURNAL_KEYS = "SELECT key FROM lake_segment WHERE layout = %s"
