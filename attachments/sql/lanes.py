"""Lanes and turns: which workspace comes next, and which of its hosts. Written only under the lock of the workspace.

A lane holds one workspace's files of one host. Its ``turn_at`` is both the time from which it may be served and its
place in the queue: a lane that was served goes to the end. A workspace's turn is the earliest turn of its lanes. So two
index lookups find the next file, however many workspaces, hosts and files wait.

Whoever changes the waiting files of a lane inserts a notice in the same transaction, which locks nothing. The next
claim reads the notices and computes those lanes from the files. Nothing is incremented, so nothing can drift.

The row of `WorkspaceTurn` is the workspace's lock. Only one claim of a workspace runs at a time over all workers, so that
the number of a lane's downloads is exact. The rows are locked by an earlier statement of the same transaction, so that
the later ones take their snapshots under the locks.
"""

NOTICES_AT_ONCE = 200
# The name under which a transaction keeps the ids of the workspaces that it has locked.
LOCKED = "evermuse.locked_workspaces"
LOCKED_IDS = f"current_setting('{LOCKED}')::bigint[]"

# Values of `Lane.Reputation`, which says when each is set.
NEW, ANSWERS, FAILS = 0, 1, 2
# Each with whether the lane that came last is served first.
REPUTATIONS = f"({NEW}, %(newest_first)s), ({ANSWERS}, false), ({FAILS}, false)"

# Waits for a workspace that another claim holds. The transaction must not hold another one yet, so that two claims cannot
# deadlock.
WAIT = "SELECT workspace_id FROM attachments_workspaceturn WHERE workspace_id = %(workspace)s::bigint FOR UPDATE"

NOTICED = f"""told AS MATERIALIZED (
  SELECT workspace_id FROM attachments_lanenotice ORDER BY id LIMIT {NOTICES_AT_ONCE}
), noticed AS MATERIALIZED (
  SELECT DISTINCT workspace_id FROM told
)"""
ADD_NOTICED = """INSERT INTO attachments_workspaceturn (workspace_id)
  SELECT workspace_id FROM noticed WHERE workspace_id NOT IN (SELECT workspace_id FROM attachments_workspaceturn)
  ORDER BY workspace_id ON CONFLICT (workspace_id) DO NOTHING RETURNING workspace_id"""

# Locks all workspaces of the next notices, and waits for them: for a transaction that only applies notices. The order of
# their ids prevents a deadlock of two such transactions.
ADD_AND_LOCK_NOTICED = (
    f"WITH {NOTICED} {ADD_NOTICED}",
    f"""
WITH {NOTICED}, locked AS MATERIALIZED (
  SELECT w.workspace_id FROM attachments_workspaceturn w WHERE w.workspace_id IN (SELECT workspace_id FROM noticed)
  ORDER BY w.workspace_id FOR UPDATE
)
SELECT set_config('{LOCKED}', ARRAY(SELECT workspace_id FROM locked)::text, true)
""",
)

# While a breaker is open, a download starts every 15 seconds. It starts more often if so many files wait that they
# could not all have an attempt within the retry window.
REFRESH = f"""
WITH told AS (
  DELETE FROM attachments_lanenotice WHERE id IN (
    SELECT id FROM (SELECT id, workspace_id FROM attachments_lanenotice ORDER BY id LIMIT {NOTICES_AT_ONCE}) AS next
    WHERE workspace_id = ANY ({LOCKED_IDS})
  )
  RETURNING workspace_id, host, is_served
), touched AS MATERIALIZED (
  SELECT workspace_id, host, bool_or(is_served) AS is_served FROM told GROUP BY workspace_id, host
), seen AS MATERIALIZED (
  SELECT t.workspace_id, t.host, t.is_served, l.turn_at AS old_turn, first.due_at, v.paused_at IS NOT NULL AS is_paused,
    CASE WHEN t.is_served AND l.opened_at IS NOT NULL THEN greatest(l.held_until, statement_timestamp() + make_interval(
      secs => least(%(longest_hold)s, %(window)s / ((SELECT count(*) FROM (
        SELECT FROM attachments_attachment a
        WHERE a.state = 'PENDING' AND a.crashes = 0 AND a.workspace_id = t.workspace_id AND a.host = t.host LIMIT 5000
      ) AS waiting) + 1.0))))
    ELSE l.held_until END AS held_until
  FROM touched t
  LEFT JOIN attachments_lane l ON l.workspace_id = t.workspace_id AND l.host = t.host
  LEFT JOIN attachments_vendorhost v ON v.host = t.host
  LEFT JOIN LATERAL (
    SELECT a.next_attempt_at AS due_at FROM attachments_attachment a
    WHERE a.state = 'PENDING' AND a.crashes = 0 AND a.workspace_id = t.workspace_id AND a.host = t.host
    ORDER BY a.next_attempt_at LIMIT 1
  ) AS first ON true
), ready AS MATERIALIZED (
  SELECT *, CASE WHEN due_at IS NOT NULL AND NOT is_paused THEN greatest(due_at, held_until) END AS ready_at FROM seen
), turns AS MATERIALIZED (
  SELECT *, CASE
    WHEN ready_at IS NULL THEN NULL
    WHEN is_served THEN greatest(ready_at, statement_timestamp())
    WHEN old_turn <= statement_timestamp() AND ready_at <= statement_timestamp() THEN old_turn
    ELSE ready_at END AS turn_at
  FROM ready
), lanes AS (
  INSERT INTO attachments_lane AS l (workspace_id, host, turn_at, due_at, held_until, failures, last_error)
  SELECT workspace_id, host, turn_at, due_at, held_until, 0, '' FROM turns ORDER BY workspace_id, host
  ON CONFLICT (workspace_id, host) DO UPDATE SET
    turn_at = EXCLUDED.turn_at, due_at = EXCLUDED.due_at, held_until = EXCLUDED.held_until
), workspaces AS (
  SELECT t.workspace_id, bool_or(t.is_served) AS is_served, least(min(t.turn_at), (
    SELECT l.turn_at FROM attachments_lane l
    WHERE l.workspace_id = t.workspace_id AND l.turn_at IS NOT NULL AND l.host <> ALL (array_agg(t.host))
    ORDER BY l.turn_at LIMIT 1
  )) AS ready_at
  FROM turns t GROUP BY t.workspace_id
), turned AS (
  INSERT INTO attachments_workspaceturn AS w (workspace_id, turn_at)
  SELECT n.workspace_id, CASE
    WHEN n.ready_at IS NULL THEN NULL
    WHEN n.is_served THEN greatest(n.ready_at, statement_timestamp())
    WHEN old.turn_at <= statement_timestamp() AND n.ready_at <= statement_timestamp() THEN old.turn_at
    ELSE n.ready_at END
  FROM workspaces n LEFT JOIN attachments_workspaceturn old USING (workspace_id) ORDER BY n.workspace_id
  ON CONFLICT (workspace_id) DO UPDATE SET turn_at = EXCLUDED.turn_at
)
SELECT count(*) FROM told
"""


def notices_for(source: str) -> str:
    """A CTE that inserts notices for the lanes (``workspace_id``, ``host``) of another CTE's rows."""
    return f"""notices AS (
  INSERT INTO attachments_lanenotice (workspace_id, host, is_served)
  SELECT DISTINCT workspace_id, host, false FROM {source}
)"""


# An operator's pause of a host changes its lanes in all workspaces, and so does the end of the pause.
TELL_HOST = """
INSERT INTO attachments_lanenotice (workspace_id, host, is_served)
SELECT workspace_id, host, false FROM attachments_lane WHERE host = %s
"""

# Ends open breakers and pauses that the host asked for, in all workspaces or in one.
RELEASE = """
WITH held AS (
  SELECT id, workspace_id, host FROM attachments_lane
  WHERE host = %(host)s AND (%(workspace)s::bigint IS NULL OR workspace_id = %(workspace)s)
    AND (held_until IS NOT NULL OR opened_at IS NOT NULL)
  ORDER BY workspace_id FOR UPDATE
), released AS (
  UPDATE attachments_lane AS l SET held_until = NULL, opened_at = NULL, failures = 0 FROM held WHERE l.id = held.id
), notices AS (
  INSERT INTO attachments_lanenotice (workspace_id, host, is_served) SELECT workspace_id, host, false FROM held
)
SELECT count(*) FROM held
"""

# The sweeper recomputes some lanes in each round, so that changes made by hand are noticed: lanes that have waiting
# files, and lanes that claim to have some.
WALK_FILES = """
WITH RECURSIVE pairs AS (
  (SELECT workspace_id, host, 1 AS n FROM attachments_attachment
   WHERE state = 'PENDING' AND crashes = 0 AND (workspace_id, host) > (%(workspace)s, %(host)s)
   ORDER BY workspace_id, host LIMIT 1)
  UNION ALL
  SELECT following.workspace_id, following.host, p.n + 1 FROM pairs p CROSS JOIN LATERAL (
    SELECT a.workspace_id, a.host FROM attachments_attachment a
    WHERE a.state = 'PENDING' AND a.crashes = 0 AND (a.workspace_id, a.host) > (p.workspace_id, p.host)
    ORDER BY a.workspace_id, a.host LIMIT 1
  ) AS following
  WHERE p.n < %(limit)s
), notices AS (
  INSERT INTO attachments_lanenotice (workspace_id, host, is_served) SELECT workspace_id, host, false FROM pairs
)
SELECT workspace_id, host FROM pairs ORDER BY n
"""
WALK_LANES = """
WITH next AS (
  SELECT id, workspace_id, host FROM attachments_lane
  WHERE id > %(after)s AND due_at IS NOT NULL ORDER BY id LIMIT %(limit)s
), notices AS (
  INSERT INTO attachments_lanenotice (workspace_id, host, is_served) SELECT workspace_id, host, false FROM next
)
SELECT id FROM next ORDER BY id
"""
