"""A part that several statements share."""

# Several tallies are locked in the order of their key before they are changed, so that two groups cannot deadlock.
ORDERED = """ordered AS (
  SELECT batch_id FROM attachments_attachmenttally
  WHERE batch_id IN (SELECT batch_id FROM counted) ORDER BY batch_id FOR UPDATE
)"""
