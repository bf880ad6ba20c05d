"""Finds waiting files and the reasons. The state of lanes is that of the last claim or sweep (`attachments.sql.lanes`)."""

from attachments.sql.lanes import ANSWERS, NEW

# What can hold a lane: an operator's pause of its host, a pause that the host asked for, or an open breaker between
# probes.
_MAY_BEGIN = """v.paused_at IS NULL AND (l.held_until IS NULL OR l.held_until <= statement_timestamp())"""

# Counted up to a limit, to wake that many workers. Includes lanes of notices that nobody has read yet.
DUE = f"""
WITH lanes AS (
  (SELECT lane.workspace_id, lane.host FROM (
     SELECT workspace_id FROM attachments_workspaceturn WHERE turn_at <= statement_timestamp() ORDER BY turn_at LIMIT %(at_most)s
   ) AS w CROSS JOIN LATERAL (
     SELECT workspace_id, host FROM attachments_lane l WHERE l.workspace_id = w.workspace_id AND l.turn_at <= statement_timestamp()
     ORDER BY l.turn_at LIMIT %(at_most)s
   ) AS lane LIMIT %(at_most)s)
  UNION
  (SELECT workspace_id, host FROM attachments_lanenotice ORDER BY id DESC LIMIT %(at_most)s)
)
SELECT count(*) FROM (
  SELECT 1 FROM lanes n LEFT JOIN attachments_lane l USING (workspace_id, host) LEFT JOIN attachments_vendorhost v USING (host)
  CROSS JOIN LATERAL (
    SELECT 1 FROM attachments_attachment a
    WHERE a.state = 'PENDING' AND a.crashes = 0 AND a.workspace_id = n.workspace_id AND a.host = n.host
      AND a.next_attempt_at <= statement_timestamp() LIMIT %(at_most)s
  ) AS one
  WHERE {_MAY_BEGIN} LIMIT %(at_most)s
) AS due
"""

# How many lanes of each workspace wait for a slot although none of their files is running, and their host has given no
# reason to expect a slow download.
NEWCOMERS = f"""
SELECT asked.workspace_id, count(*) FROM unnest(%(workspaces)s::bigint[]) AS asked (workspace_id) CROSS JOIN LATERAL (
  SELECT 1 FROM attachments_lane l
  WHERE l.workspace_id = asked.workspace_id AND l.reputation IN ({NEW}, {ANSWERS}) AND l.turn_at <= statement_timestamp()
    AND NOT EXISTS (
      SELECT FROM attachments_attachment a
      WHERE a.state = 'IN_PROGRESS' AND a.workspace_id = l.workspace_id AND a.host = l.host
    ) LIMIT %(at_most)s
) AS lane GROUP BY asked.workspace_id
"""

# Files that could have started long ago, and claims that ran out long ago, by workspace and host. Files of paused hosts
# count too, so that somebody learns what waits there.
STANDING = """
WITH standing AS (
  SELECT l.workspace_id, l.host, a.id, a.batch_id, a.next_attempt_at AS since
  FROM attachments_lane l JOIN attachments_attachment a ON a.state = 'PENDING' AND a.crashes = 0
    AND a.workspace_id = l.workspace_id AND a.host = l.host
    AND a.next_attempt_at < statement_timestamp() - make_interval(secs => %(stuck)s)
  WHERE l.due_at < statement_timestamp() - make_interval(secs => %(stuck)s)
  UNION ALL
  SELECT workspace_id, host, id, batch_id, next_attempt_at FROM attachments_attachment
  WHERE state = 'PENDING' AND crashes > 0 AND next_attempt_at < statement_timestamp() - make_interval(secs => %(stuck)s)
  UNION ALL
  SELECT workspace_id, host, id, batch_id, claimed_until FROM attachments_attachment
  WHERE state = 'IN_PROGRESS' AND claimed_until < statement_timestamp() - make_interval(secs => %(stuck)s)
)
SELECT s.workspace_id, s.host, count(*), min(s.since) AS since, max(s.id) AS attachment_id, max(s.batch_id) AS batch_id,
  CASE WHEN v.paused_at IS NOT NULL THEN 'the host is paused'
    WHEN l.opened_at IS NOT NULL THEN left('the host fails every download; last error: ' || l.last_error, 500)
    WHEN l.held_until > statement_timestamp() THEN 'the host asked for a pause'
    ELSE 'due, but no worker has started it' END AS reason
FROM standing s LEFT JOIN attachments_lane l USING (workspace_id, host) LEFT JOIN attachments_vendorhost v ON v.host = s.host
GROUP BY s.workspace_id, s.host, v.host, l.id
"""

OLDEST_DUE = """
SELECT extract(epoch FROM statement_timestamp() - least(
  (SELECT min(due_at) FROM attachments_lane WHERE turn_at <= statement_timestamp()),
  (SELECT min(next_attempt_at) FROM attachments_attachment
   WHERE state = 'PENDING' AND crashes > 0 AND next_attempt_at <= statement_timestamp())
))::float
"""

COUNT_FAILED_ALIKE = """
SELECT count(*), coalesce(max(id), 0) FROM attachments_attachment
WHERE state = 'FAILED' AND host = %(host)s AND error_code = %(code)s AND workspace_id = %(workspace)s
"""

COUNT_DUE_OF = """
SELECT count(*) FROM attachments_attachment
WHERE state = 'PENDING' AND host = %(host)s AND workspace_id = %(workspace)s AND next_attempt_at <= statement_timestamp()
"""
