"""Finds which versions of records a workspace holds, by the digest of a version (`lake.normalization`)."""

from collections.abc import Sequence

from evermuse import prepared
from lake.normalization import DIGEST_BYTES

CURRENT, REPLACED, UNKNOWN = "current", "replaced", "unknown"

# Uses the indexes on the first bytes of digests. A version that was replaced and later sent again is current.
FIND = f"""
SELECT g.n::int, CASE
  WHEN EXISTS (
    SELECT FROM lake_record r
    WHERE substring(r.digest, 1, 7) = substring(g.digest, 1, 7) AND substring(r.digest, 1, {DIGEST_BYTES}) = g.digest
      AND r.workspace_id = %(workspace)s::bigint) THEN 'current'
  WHEN EXISTS (
    SELECT FROM lake_recordversion v JOIN lake_record r ON r.id = v.record_id
    WHERE substring(v.digest, 1, 7) = substring(g.digest, 1, 7) AND substring(v.digest, 1, {DIGEST_BYTES}) = g.digest
      AND r.workspace_id = %(workspace)s::bigint) THEN 'replaced'
  ELSE 'unknown' END
FROM unnest(%(digests)s::bytea[]) WITH ORDINALITY AS g (digest, n) ORDER BY g.n
"""  # noqa: S608  (put together from constants)


def of(workspace_id: int, digests: Sequence[bytes]) -> list[str]:
    """The state of each version: ``current``, ``replaced`` or ``unknown``, in the order of the digests."""
    wanted = [digest[:DIGEST_BYTES] for digest in digests]
    return [known for _, known in prepared.rows(FIND, {"workspace": workspace_id, "digests": wanted})]
