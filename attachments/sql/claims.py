"""Claims of files and their leases. `attachments.sql.lanes` describes whose turn it is."""

from attachments.sql.lanes import ADD_NOTICED, FAILS, LOCKED, LOCKED_IDS, NOTICED, NOTICES_AT_ONCE, REPUTATIONS

# Follows a CTE `chosen` (id, turn): makes those files IN_PROGRESS and inserts their attempts. `state || ''` prevents the
# planner from using the index of waiting files. If the statistics are out of date, it would scan that index instead of
# looking up the ids.
_BEGIN = """), free AS (
  SELECT a.id, chosen.turn FROM chosen JOIN attachments_attachment a USING (id)
  WHERE a.state || '' = 'PENDING' ORDER BY a.id FOR UPDATE OF a
), claimed AS (
  UPDATE attachments_attachment AS a SET
    state = 'IN_PROGRESS', claim_token = a.claim_token + 1, claimed_by = (%(takers)s::text[])[free.turn],
    claimed_until = statement_timestamp() + make_interval(secs => %(lease)s), attempts = a.attempts + 1,
    window_began_at = coalesce(a.window_began_at, statement_timestamp()), next_attempt_at = NULL, kept_until = NULL
  FROM free WHERE a.id = free.id
  RETURNING a.*, free.turn
), served AS (
  INSERT INTO attachments_lanenotice (workspace_id, host, is_served) SELECT DISTINCT workspace_id, host, true FROM claimed
), attempt AS (
  INSERT INTO attachments_downloadattempt (attachment_id, token, started_at, bytes, code, message, leftovers)
  SELECT id, claim_token, statement_timestamp(), 0, 'IN_PROGRESS', '', true FROM claimed
), begun AS (
  SELECT batch_id FROM attachments_attachmenttally
  WHERE batch_id IN (SELECT batch_id FROM claimed) AND NOT has_begun ORDER BY batch_id FOR UPDATE
), tally AS (
  UPDATE attachments_attachmenttally AS t SET has_begun = true FROM begun WHERE t.batch_id = begun.batch_id
)
SELECT c.id, c.claim_token AS token, c.batch_id, c.workspace_id, c.type, c.filename, c.vendor_url, c.upload_intent_id,
  c.declared_mime_type, c.declared_size, c.declared_sha1, c.declared_md5, c.attempts,
  extract(epoch FROM statement_timestamp() - c.window_began_at)::float AS window_seconds, c.host, c.kept_token, c.origin
FROM claimed c ORDER BY c.turn
"""

# Skips lanes and workspaces that have reached their limits. There are at most as many of these as running downloads, so
# the cost does not grow with the number of waiting files.
#
# From the asking worker's slots (without those that slow transfers left), a workspace takes at most three quarters of
# what the others leave, so that some are always free for a newcomer. A workspace without a download may always start
# one.
_LIMITS = """
going AS MATERIALIZED (
  SELECT id, workspace_id, host, claimed_by FROM attachments_attachment WHERE state = 'IN_PROGRESS'
), busy AS MATERIALIZED (
  SELECT workspace_id, host, count(*) AS n FROM going GROUP BY workspace_id, host
), here AS MATERIALIZED (
  SELECT workspace_id, count(*) AS n FROM going
  WHERE starts_with(claimed_by, %(worker)s) AND id <> ALL (%(slow)s::bigint[]) GROUP BY workspace_id
)"""
_FREE = "greatest(1, floor(0.75 * (%(slots)s - (SELECT coalesce(sum(n), 0) FROM here) + {n}))) - {n}"
_HAS_LANE = """EXISTS (
    SELECT FROM attachments_lane l LEFT JOIN busy b ON b.workspace_id = l.workspace_id AND b.host = l.host
    WHERE l.workspace_id = w.workspace_id AND l.turn_at <= statement_timestamp()
      AND (l.held_until IS NULL OR l.held_until <= statement_timestamp()) AND (l.host = '' OR coalesce(b.n, 0) < %(host_limit)s)
  )"""
_WAITS = f"""w.turn_at <= statement_timestamp() AND w.workspace_id NOT IN (SELECT workspace_id FROM here)
    AND w.workspace_id NOT IN (SELECT workspace_id FROM noticed) AND {_HAS_LANE}"""
_GOES_ON = f"""w.turn_at <= statement_timestamp() AND w.workspace_id NOT IN (SELECT workspace_id FROM noticed)
    AND {_FREE.format(n="here.n")} > 0 AND {_HAS_LANE}"""

# Locks the workspaces from which this claim may take files: those that have notices, then those whose turn it is. A
# workspace that another claim holds is skipped, so claims of different workspaces never wait for each other. The
# statements that follow in the same transaction look only at the locked workspaces (`LOCKED`), and they see what earlier
# claims of these workspaces committed.
CHOOSE = f"""
WITH {_LIMITS}, {NOTICED}, changed AS MATERIALIZED (
  SELECT w.workspace_id FROM attachments_workspaceturn w WHERE w.workspace_id IN (SELECT workspace_id FROM noticed)
  ORDER BY w.workspace_id FOR UPDATE SKIP LOCKED
), waiting AS MATERIALIZED (
  SELECT w.workspace_id FROM attachments_workspaceturn w WHERE {_WAITS}
  ORDER BY w.turn_at LIMIT %(count)s FOR UPDATE SKIP LOCKED
), going_on AS MATERIALIZED (
  SELECT w.workspace_id FROM attachments_workspaceturn w JOIN here USING (workspace_id) WHERE {_GOES_ON}
  ORDER BY here.n, w.turn_at LIMIT %(count)s - (SELECT count(*) FROM waiting) FOR UPDATE OF w SKIP LOCKED
)
SELECT set_config('{LOCKED}', ARRAY(
  SELECT workspace_id FROM changed UNION ALL SELECT workspace_id FROM waiting UNION ALL SELECT workspace_id FROM going_on
)::text, true)::bigint[]
"""

# The workspaces that a claim would have locked if no other claim had held them. Adds the rows that claims of new
# workspaces lock. ``seen``: workspaces that it has locked already; they count again only if more notices wait than one
# claim reads.
MISSED = f"""
WITH {_LIMITS}, {NOTICED}, added AS (
  {ADD_NOTICED}
)
SELECT workspace_id FROM noticed
WHERE workspace_id <> ALL (%(seen)s::bigint[]) OR (SELECT count(*) FROM told) >= {NOTICES_AT_ONCE}
UNION
SELECT w.workspace_id FROM attachments_workspaceturn w WHERE w.workspace_id <> ALL (%(seen)s::bigint[]) AND {_WAITS}
UNION
SELECT w.workspace_id FROM attachments_workspaceturn w JOIN here USING (workspace_id)
WHERE w.workspace_id <> ALL (%(seen)s::bigint[]) AND {_GOES_ON}
ORDER BY workspace_id LIMIT 1
"""

# Claiming several files at once gives the same files in the same order as claiming them one by one: first the workspace
# with the fewest downloads, then its reputation with the fewest, the host with the fewest, and the file that has waited
# longest. So a workspace's many silent hosts do not delay its files on hosts that answer (`Lane.Reputation`). Reputations
# with equally many draw lots, so that none is left out where a workspace has one slot. A slow download counts as one of a
# host that fails.
#
# Nobody knows which new hosts are silent. So half of the claims, by lot, take the new host that came last: one that comes behind
# thousands of silent ones waits for few of them, and those that came first have half of the claims.
_LANES = """
    SELECT l.host, l.reputation, l.turn_at, coalesce(b.n, 0) AS n, CASE
      WHEN l.host = '' THEN %(count)s
      WHEN l.opened_at IS NOT NULL THEN least(1, %(host_limit)s - coalesce(b.n, 0))
      ELSE %(host_limit)s - coalesce(b.n, 0) END AS free
    FROM attachments_lane l LEFT JOIN busy b ON b.workspace_id = l.workspace_id AND b.host = l.host
    LEFT JOIN attachments_vendorhost v ON v.host = l.host
    WHERE l.workspace_id = s.workspace_id AND l.reputation = each.reputation AND l.turn_at <= statement_timestamp()
      AND v.paused_at IS NULL AND (l.held_until IS NULL OR l.held_until <= statement_timestamp())
      AND (l.host = '' OR coalesce(b.n, 0) < %(host_limit)s)"""
CLAIM = f"""
WITH {_LIMITS}, mine AS MATERIALIZED (
  SELECT w.workspace_id, w.turn_at FROM attachments_workspaceturn w
  WHERE w.workspace_id = ANY ({LOCKED_IDS}) AND w.turn_at <= statement_timestamp()
), open AS (
  SELECT w.workspace_id, w.turn_at, 0 AS n FROM mine w
  WHERE w.workspace_id NOT IN (SELECT workspace_id FROM here) AND {_HAS_LANE}
  ORDER BY w.turn_at LIMIT %(count)s
), shares AS MATERIALIZED (
  SELECT s.workspace_id, s.turn_at, s.n,
    {_FREE.format(n="s.n")} AS free
  FROM (
    SELECT workspace_id, turn_at, n FROM open
    UNION ALL
    SELECT w.workspace_id, w.turn_at, here.n FROM here JOIN mine w USING (workspace_id)
  ) AS s
), reputations AS MATERIALIZED (
  SELECT workspace_id, reputation, count(*) AS n FROM (
    SELECT g.workspace_id, CASE WHEN g.id = ANY (%(stuck)s::bigint[]) THEN {FAILS} ELSE l.reputation END AS reputation
    FROM going g JOIN attachments_lane l USING (workspace_id, host)
    WHERE starts_with(g.claimed_by, %(worker)s) AND g.id <> ALL (%(slow)s::bigint[])
      AND g.workspace_id IN (SELECT workspace_id FROM shares)
  ) AS here GROUP BY workspace_id, reputation
), lanes AS MATERIALIZED (
  SELECT s.workspace_id, s.n AS workspace_n, s.turn_at AS workspace_turn, s.free AS workspace_free,
    coalesce(reputations.n, 0) AS reputation_n, CASE WHEN each.newest_first THEN lane.turn_at END AS newest, lane.*
  FROM shares s CROSS JOIN (VALUES {REPUTATIONS}) AS each (reputation, newest_first)
  LEFT JOIN reputations ON reputations.workspace_id = s.workspace_id AND reputations.reputation = each.reputation
  CROSS JOIN LATERAL (
    ({_LANES} AND NOT each.newest_first ORDER BY l.turn_at LIMIT %(count)s)
    UNION ALL
    ({_LANES} AND each.newest_first ORDER BY l.turn_at DESC LIMIT %(count)s)
  ) AS lane
  WHERE s.free > 0
), alike AS (
  SELECT next.id, lanes.workspace_id, lanes.workspace_n, lanes.workspace_turn, lanes.workspace_free,
    lanes.reputation_n + row_number() OVER (
      PARTITION BY lanes.workspace_id, lanes.reputation
      ORDER BY lanes.n + next.place, lanes.newest DESC, next.next_attempt_at, lanes.turn_at, lanes.host
    ) AS place
  FROM lanes CROSS JOIN LATERAL (
    SELECT first.id, first.next_attempt_at, row_number() OVER (ORDER BY first.next_attempt_at, first.id) AS place
    FROM (
      SELECT a.id, a.next_attempt_at FROM attachments_attachment a
      WHERE a.state = 'PENDING' AND a.crashes = 0 AND a.workspace_id = lanes.workspace_id AND a.host = lanes.host
        AND a.next_attempt_at <= statement_timestamp()
      ORDER BY a.next_attempt_at, a.id LIMIT least(lanes.free, %(count)s)
    ) AS first
  ) AS next
), ranked AS (
  SELECT id, workspace_id, workspace_n, workspace_turn, workspace_free,
    row_number() OVER (PARTITION BY workspace_id ORDER BY place, random()) AS place
  FROM alike
), chosen AS (
  SELECT id, row_number() OVER (ORDER BY workspace_n + place, workspace_turn, workspace_id) AS turn
  FROM ranked WHERE place <= workspace_free ORDER BY turn LIMIT %(count)s
{_BEGIN}"""

# A suspect: a worker died while it downloaded this file. Suspects are in no lane, because a separate process fetches
# them.
_SUSPECTS = """FROM attachments_attachment a
  LEFT JOIN attachments_lane l ON l.workspace_id = a.workspace_id AND l.host = a.host
  LEFT JOIN attachments_vendorhost v ON v.host = a.host
  WHERE a.state = 'PENDING' AND a.crashes > 0 AND a.next_attempt_at <= statement_timestamp() AND v.paused_at IS NULL
    AND (l.held_until IS NULL OR l.held_until <= statement_timestamp())"""

CLAIM_SUSPECT = f"""
WITH busy AS (
  SELECT workspace_id, count(*) AS n FROM attachments_attachment
  WHERE state = 'IN_PROGRESS' AND crashes > 0 GROUP BY workspace_id
), chosen AS (
  SELECT a.id, 1 AS turn {_SUSPECTS}
    AND coalesce((SELECT n FROM busy b WHERE b.workspace_id = a.workspace_id), 0) < %(limit)s
  ORDER BY coalesce((SELECT n FROM busy b WHERE b.workspace_id = a.workspace_id), 0), a.next_attempt_at, a.id
  LIMIT 1 FOR UPDATE OF a SKIP LOCKED
{_BEGIN}"""

SUSPECTS_DUE = f"SELECT count(*) FROM (SELECT 1 {_SUSPECTS} LIMIT %s) AS due"

RENEW = """
WITH held AS (
  SELECT a.id FROM attachments_attachment a JOIN unnest(%(ids)s::bigint[], %(tokens)s::bigint[]) AS g (id, token) USING (id)
  WHERE a.claim_token = g.token AND a.state || '' = 'IN_PROGRESS' ORDER BY a.id FOR UPDATE OF a
)
UPDATE attachments_attachment AS a SET claimed_until = statement_timestamp() + make_interval(secs => %(lease)s)
FROM held WHERE a.id = held.id
RETURNING a.id
"""

KEEP = """
WITH kept AS (
  SELECT a.id FROM attachments_attachment a JOIN unnest(%(ids)s::bigint[], %(tokens)s::bigint[]) AS g (id, token) USING (id)
  WHERE a.kept_token = g.token AND a.state || '' = 'PENDING' ORDER BY a.id FOR UPDATE OF a
)
UPDATE attachments_attachment AS a SET kept_until = statement_timestamp() + make_interval(secs => %(lease)s)
FROM kept WHERE a.id = kept.id
RETURNING a.id
"""

DROP_KEPT = """
UPDATE attachments_attachment SET kept_token = NULL
WHERE id = %(id)s AND claim_token = %(token)s AND state = 'IN_PROGRESS'
"""
