"""Raw SQL of segments."""

# Runs before the objects are written, so that every object has a row with its key.
INTEND = """
INSERT INTO lake_segment (workspace_id, source, type, day, key, layout, state, size, line_count, dead_count, created_at,
  expires_at, sweeps, claim_token)
SELECT n.workspace_id, n.source, n.type, n.day, n.key, n.layout, 'I', n.size, n.lines, 0, statement_timestamp(),
  statement_timestamp() + make_interval(secs => %(grace)s), 0, 0
FROM unnest(%(workspace_id)s::bigint[], %(source)s::text[], %(type)s::text[], %(day)s::date[], %(key)s::text[],
  %(layout)s::int[], %(size)s::bigint[], %(lines)s::int[]) AS n (workspace_id, source, type, day, key, layout, size, lines)
RETURNING id, key
"""

# Skips a segment that the sweeper has abandoned meanwhile, because its object may be deleted.
PUBLISH = """
UPDATE lake_segment SET state = 'L', expires_at = NULL WHERE id = ANY(%s::bigint[]) AND state = 'I' RETURNING id
"""

# Compaction moves no line out of a segment that is locked.
LOCK = "SELECT id FROM lake_segment WHERE id = ANY(%s::bigint[]) ORDER BY id FOR NO KEY UPDATE"
COUNT_DEAD = """
UPDATE lake_segment s SET dead_count = s.dead_count + n.lines FROM unnest(%s::bigint[], %s::int[]) AS n (id, lines)
WHERE s.id = n.id RETURNING s.id
"""

# Each batch's blocks are a slice of two long arrays. If a batch lands again, its row is replaced.
POINT = """
INSERT INTO lake_segmentbatch (batch_id, segment_id, line_count, start, length, ends, firsts)
SELECT n.batch_id, n.segment_id, n.lines, n.start, n.length,
  CASE WHEN n.lo < n.hi THEN (%(ends)b::int[])[n.lo:n.hi] END, CASE WHEN n.lo < n.hi THEN (%(firsts)b::int[])[n.lo:n.hi] END
FROM unnest(%(batch_id)b::bigint[], %(segment_id)b::bigint[], %(lines)b::int[], %(start)b::int[], %(length)b::int[],
  %(lo)b::int[], %(hi)b::int[]) AS n (batch_id, segment_id, lines, start, length, lo, hi)
ON CONFLICT (batch_id) DO UPDATE SET segment_id = EXCLUDED.segment_id, line_count = EXCLUDED.line_count,
  start = EXCLUDED.start, length = EXCLUDED.length, ends = EXCLUDED.ends, firsts = EXCLUDED.firsts
RETURNING batch_id
"""

# Includes segments that the sweeper has abandoned already, so that an object written since then is deleted too.
GIVE_UP = """
UPDATE lake_segment SET state = 'A', expires_at = statement_timestamp() WHERE id = ANY(%s::bigint[]) AND state IN ('I', 'A')
RETURNING id
"""

# After this change the segment can no longer be published. The object is deleted again after growing waits, because a worker
# that was suspended while it wrote may finish its object hours later.
TAKE_EXPIRED = """
UPDATE lake_segment SET
  state = CASE state WHEN 'I' THEN 'A' ELSE state END, sweeps = least(sweeps + 1, 30),
  expires_at = statement_timestamp()
    + make_interval(secs => least(%(first)s::float * %(factor)s::float ^ sweeps, %(longest)s::float))
WHERE id IN (
  SELECT id FROM lake_segment WHERE state <> 'L' AND expires_at < statement_timestamp()
  ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
RETURNING id, key, state, sweeps
"""

# The store did not delete these objects. Retry soon.
PUT_BACK = """
UPDATE lake_segment SET sweeps = greatest(sweeps - 1, 0), expires_at = statement_timestamp() + make_interval(secs => %s)
WHERE id = ANY(%s::bigint[]) AND state <> 'L' RETURNING id
"""

FORGET = "DELETE FROM lake_segment WHERE id = ANY(%s::bigint[]) AND state <> 'L' RETURNING id"

WHERE_BATCHES_ARE = """
SELECT b.batch_id, s.id AS segment_id, s.key, s.layout::int, b.start, b.length, b.ends, b.firsts
FROM lake_segmentbatch b JOIN lake_segment s ON s.id = b.segment_id
WHERE b.batch_id = ANY(%(batches)s::bigint[]) AND b.line_count > 0
"""

# -- Compaction --

# A segment is rewritten when no version needs a third of its lines. After a month one such line is enough, so that no removed
# record stays in the bucket.
REWRITE_DAYS = 30
_HAS_DEAD_LINES = f"""(dead_count * 3 > line_count
  OR (dead_count > 0 AND created_at < statement_timestamp() - interval '{REWRITE_DAYS} days'))"""

LAST_SEGMENT = "SELECT coalesce(max(id), 0) FROM lake_segment"

_IS_FREE = "(claimed_until IS NULL OR claimed_until < statement_timestamp())"

# The next group that is worth merging. ``before``: earlier dates are closed.
NEXT_GROUP = f"""
SELECT day, workspace_id, source, type FROM (
  SELECT day, workspace_id, source, type FROM lake_segment
  WHERE state = 'L' AND size < 67108864 AND {_IS_FREE} AND id <= %(until)s
  GROUP BY workspace_id, source, type, day
  HAVING count(*) > 1 OR bool_or(layout = 0) OR bool_or({_HAS_DEAD_LINES})
  UNION ALL
  SELECT day, workspace_id, source, type FROM lake_segment
  WHERE state = 'L' AND {_HAS_DEAD_LINES} AND {_IS_FREE} AND id <= %(until)s
) AS found
WHERE day < %(before)s AND (day, workspace_id, source, type) > (%(day)s, %(workspace_id)s, %(source)s, %(type)s)
ORDER BY day, workspace_id, source, type LIMIT 1
"""

# By id, which is roughly the order of their batches.
SOURCES = f"""
SELECT id, size, line_count FROM lake_segment
WHERE workspace_id = %(workspace_id)s AND source = %(source)s AND type = %(type)s AND day = %(day)s AND state = 'L'
  AND id <= %(until)s AND (size < 67108864 OR {_HAS_DEAD_LINES}) AND {_IS_FREE}
ORDER BY id LIMIT %(limit)s
"""

CLAIM_SOURCES = """
UPDATE lake_segment SET claim_token = claim_token + 1, claimed_until = statement_timestamp() + make_interval(secs => %(lease)s)
WHERE id IN (
  SELECT id FROM lake_segment
  WHERE id = ANY(%(ids)s::bigint[]) AND state = 'L' AND (claimed_until IS NULL OR claimed_until < statement_timestamp())
  ORDER BY id FOR UPDATE SKIP LOCKED
)
RETURNING id, claim_token AS token, key, layout::int, size, created_at, dead_count
"""

# Extends the intended segment's time together with its sources' claims.
RENEW_SOURCES = """
WITH target AS (
  UPDATE lake_segment SET expires_at = statement_timestamp() + make_interval(secs => %(grace)s)
  WHERE id = %(target)s AND state = 'I' RETURNING id
)
UPDATE lake_segment SET claimed_until = statement_timestamp() + make_interval(secs => %(lease)s)
WHERE state = 'L' AND (id, claim_token) IN (SELECT * FROM unnest(%(ids)s::bigint[], %(tokens)s::bigint[]))
  AND EXISTS (SELECT FROM target)
RETURNING id
"""

RELEASE_SOURCES = """
UPDATE lake_segment SET claimed_until = NULL
WHERE (id, claim_token) IN (SELECT * FROM unnest(%s::bigint[], %s::bigint[])) RETURNING id
"""

SET_ASIDE = """
UPDATE lake_segment SET claimed_until = statement_timestamp() + make_interval(secs => %s) WHERE id = %s AND state = 'L'
RETURNING id
"""

# The fence: all of them or none, locked in the order of their key. A removal locks a segment too before it counts dead lines.
HOLD_SOURCES = """
SELECT id, dead_count FROM lake_segment
WHERE (id = %(target)s AND state = 'I')
  OR (state = 'L' AND (id, claim_token) IN (SELECT * FROM unnest(%(ids)s::bigint[], %(tokens)s::bigint[])))
ORDER BY id FOR UPDATE
"""

# The numbers of the lines to keep: those that the current or a replaced version of a record points to. A line also stays if its
# record has no row and was not removed. The row may have been lost, and a repair needs the line.
NEEDED = """
SELECT n.number::int FROM unnest(%(id)b::uuid[], %(batch)b::bigint[], %(place)b::int[]) WITH ORDINALITY
  AS n (id, batch, place, number)
WHERE EXISTS (SELECT FROM lake_segmentbatch b WHERE b.batch_id = n.batch AND b.segment_id = %(segment)s::bigint) AND (
  EXISTS (SELECT FROM lake_record r WHERE r.id = n.id AND r.batch_id = n.batch AND r.body_offset = n.place)
  OR EXISTS (SELECT FROM lake_recordversion v WHERE v.record_id = n.id AND v.batch_id = n.batch AND v.body_offset = n.place)
  OR NOT EXISTS (SELECT FROM lake_record r WHERE r.id = n.id)
    AND NOT EXISTS (SELECT FROM lake_removedrecord d WHERE d.record_id = n.id)
)
"""

# Records that have no row although they were not removed. The row may have been lost.
UNKNOWN_RECORDS = """
SELECT n.id FROM unnest(%(ids)b::uuid[]) AS n (id)
WHERE %(batch)s::bigint > 0 AND NOT EXISTS (SELECT FROM lake_record r WHERE r.id = n.id)
  AND NOT EXISTS (SELECT FROM lake_removedrecord d WHERE d.record_id = n.id) LIMIT 1
"""

# The index's rows of a batch whose object has no listing.
PLACES_OF_BATCH = """
SELECT r.id, r.body_offset, r.body_size FROM lake_record r
WHERE r.id = ANY(%(ids)b::uuid[]) AND r.batch_id = %(batch)s::bigint
UNION
SELECT v.record_id, v.body_offset, v.body_size FROM lake_recordversion v
WHERE v.record_id = ANY(%(ids)b::uuid[]) AND v.batch_id = %(batch)s::bigint
"""

# Leaves a pointer alone that has changed since it was read.
MOVE = """
UPDATE lake_segmentbatch b SET segment_id = n.segment_id, line_count = n.lines, start = n.start, length = n.length,
  ends = CASE WHEN n.lo < n.hi THEN (%(ends)b::int[])[n.lo:n.hi] END,
  firsts = CASE WHEN n.lo < n.hi THEN (%(firsts)b::int[])[n.lo:n.hi] END
FROM unnest(%(batch_id)b::bigint[], %(segment_id)b::bigint[], %(lines)b::int[], %(start)b::int[], %(length)b::int[],
  %(lo)b::int[], %(hi)b::int[], %(source)b::bigint[]) AS n (batch_id, segment_id, lines, start, length, lo, hi, source)
WHERE b.batch_id = n.batch_id AND b.segment_id = n.source
RETURNING b.batch_id
"""

# For batches of the sources that have no needed lines.
EMPTY = """
UPDATE lake_segmentbatch b SET segment_id = %(target)s::bigint, line_count = 0, start = 0, length = 0, ends = NULL,
  firsts = NULL
FROM unnest(%(batch_id)b::bigint[], %(source)b::bigint[]) AS n (batch_id, source)
WHERE b.batch_id = n.batch_id AND b.segment_id = n.source RETURNING b.batch_id
"""

REPLACE = """
UPDATE lake_segment SET state = 'R', claimed_until = NULL, expires_at = statement_timestamp() + make_interval(secs => %s)
WHERE id = ANY(%s::bigint[]) RETURNING id
"""

PUBLISH_TARGET = """
UPDATE lake_segment SET state = 'L', expires_at = NULL, size = %s, line_count = %s, dead_count = %s
WHERE id = %s AND state = 'I' RETURNING id
"""
