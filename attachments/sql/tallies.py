"""A CTE that several statements share."""

# Locks several tallies in the order of their keys before they change, so that two groups cannot deadlock.
ORDERED = """ordered AS (
  SELECT batch_id FROM attachments_attachmenttally
  WHERE batch_id IN (SELECT batch_id FROM counted) ORDER BY batch_id FOR UPDATE
)"""
