"""What an API key allows.

Each request looks its key up, so that revoking a key takes effect at once. Accepting a batch saves that query: it uses the
credentials that this process cached, and the statement that stores the batch compares them with the key as it is now. Only
a 202 may rest on cached credentials; anything else needs `ingest.api.authentication.confirm`.
"""

import hmac
import json
from dataclasses import dataclass, replace

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from evermuse import prepared
from evermuse.errors import DATABASE_AWAY
from ingest import sql
from ingest.clients import api_keys
from ingest.models import ApiKey
from ingest.refusals import unauthorized
from lake.known_ids import Catalog

# The time of last use is written at most this often for each key, so that a request costs no write.
LAST_USED_STEP_SECONDS = 60
# A workspace with more products or projects than this does not send its catalog along with the key.
SMALL_CATALOG = 64
# A process caches this many keys. With more keys in use it empties the cache.
CACHED_KEYS = 1000


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a live key allows. ``catalog`` is the workspace's whole catalog, or None if that is large.

    ``snapshot`` is the key's row as one text, which PostgreSQL compares if the credentials come from the cache.
    """

    api_key_id: int
    workspace_id: int
    workspace_name: str
    source: str
    permissions: frozenset[str]
    rate_limit: int
    catalog: Catalog | None = None
    digest: bytes = b""
    snapshot: str = ""
    is_cached: bool = False

    is_authenticated = True


@dataclass(frozen=True, slots=True)
class _LiveKey:
    """A row of `sql.LIVE_KEY`."""

    api_key_id: int
    workspace_id: int
    workspace_name: str
    source: str
    permissions: str
    rate_limit: int | None
    products: list[str]
    projects: list[str]
    is_stale: bool
    digest: bytes
    snapshot: str


_cache: dict[bytes, Credentials] = {}


def cached(secret: str) -> Credentials | None:
    """The credentials of a key that this process has cached. They need a confirmation."""
    # If the connection is dead, look the key up first: a lookup can be repeated on a new connection, storing a batch cannot.
    return _cache.get(api_keys.digest(secret)) if prepared.is_alive() else None


def key_parameters(digest: bytes) -> dict[str, prepared.Parameter]:
    """The parameters of the statements that read a live key."""
    return {"catalog_limit": SMALL_CATALOG + 1, "last_used_step": LAST_USED_STEP_SECONDS, "digest": digest}


def identify(secret: str) -> Credentials:
    """The credentials of a live key as they are now. Raises the 401."""
    if not secret.startswith(api_keys.PREFIX) or len(secret) > 256:
        raise unauthorized()
    digest = api_keys.digest(secret)
    key = _find(digest)
    if key is None or not hmac.compare_digest(bytes(key.digest), digest):
        _cache.pop(digest, None)
        raise unauthorized()
    credentials = Credentials(
        api_key_id=key.api_key_id,
        workspace_id=key.workspace_id,
        workspace_name=key.workspace_name,
        source=key.source,
        permissions=frozenset(json.loads(key.permissions)),
        rate_limit=settings.EVERMUSE_RATE_LIMIT if key.rate_limit is None else key.rate_limit,
        catalog=_whole_catalog(key),
        digest=digest,
        snapshot=key.snapshot,
    )
    if key.is_stale:  # writing the time of last use changes the row, so this snapshot would never match again
        ApiKey.objects.filter(pk=key.api_key_id).update(last_used_at=Now())
        return credentials
    if len(_cache) >= CACHED_KEYS:
        _cache.clear()
    _cache[digest] = replace(credentials, is_cached=True)
    return credentials


def _whole_catalog(key: _LiveKey) -> Catalog | None:
    if max(len(key.products), len(key.projects)) > SMALL_CATALOG:
        return None
    return Catalog(frozenset(key.products), frozenset(key.projects))


def _find(digest: bytes) -> _LiveKey | None:
    """The live key of a digest. As a request's first query it opens another connection if the present one died."""
    try:
        return _select(digest)
    except DATABASE_AWAY:
        if connection.in_atomic_block:
            raise
        connection.close()
        return _select(digest)


def _select(digest: bytes) -> _LiveKey | None:
    found = prepared.rows_of(_LiveKey, sql.LIVE_KEY, key_parameters(digest))
    return found[0] if found else None
