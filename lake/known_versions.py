"""Which versions of records a workspace holds, asked by the digest that identifies a version (`lake.normalization`)."""

from collections.abc import Sequence

from evermuse import prepared

CURRENT, REPLACED, UNKNOWN = "current", "replaced", "unknown"

# By the hash indexes on digests. A version that was written once more after others is current.
FIND = """
SELECT g.n::int, CASE
  WHEN EXISTS (SELECT FROM lake_record r WHERE r.digest = g.digest AND r.workspace_id = %(workspace)s::bigint) THEN 'current'
  WHEN EXISTS (
    SELECT FROM lake_recordversion v JOIN lake_record r ON r.id = v.record_id
    WHERE v.digest = g.digest AND r.workspace_id = %(workspace)s::bigint) THEN 'replaced'
  ELSE 'unknown' END
FROM unnest(%(digests)s::bytea[]) WITH ORDINALITY AS g (digest, n) ORDER BY g.n
"""


def of(workspace_id: int, digests: Sequence[bytes]) -> list[str]:
    """What the workspace holds of each version: ``current``, ``replaced`` or ``unknown``, in the order of the digests."""
    return [known for _, known in prepared.rows(FIND, {"workspace": workspace_id, "digests": list(digests)})]
