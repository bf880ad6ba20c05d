"""Who asks: the API key of the header ``x-api-key``.

A key is looked up for every request, so that a revoked one ends at once. Accepting a batch does that in the statement
which stores it: until there it goes by what the process remembers of the key, and nothing else may come of that.
"""

import hmac
import json
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.db.models.functions import Now
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from evermuse import prepared
from evermuse.asgi_body import AWAITED
from ingest import sql
from ingest.clients import api_keys
from ingest.models import ApiKey
from ingest.refusals import unauthorized
from lake.envelope import Catalog

# "Last used" is written at most this often for a key, so that a request costs no write.
DATABASE_AWAY = (OperationalError, InterfaceError)
LAST_USED_STEP_SECONDS = 60
# Products, and projects, up to which a workspace's catalog comes along with the key.
SMALL_CATALOG = 64
# Keys that a process remembers; with more in use it begins anew.
REMEMBERED_KEYS = 1000


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a live key allows."""

    api_key_id: int
    workspace_id: int
    workspace_name: str
    source: str
    permissions: frozenset[str]
    rate_limit: int
    # All that the workspace knows; None where that is much.
    catalog: Catalog | None = None
    # All of this as one text, for PostgreSQL to compare; and whether it is from memory, so that this must be done.
    digest: bytes = b""
    snapshot: str = ""
    is_remembered: bool = False

    is_authenticated = True


def credentials_of(request: Request) -> Credentials:
    """Who sent a request that was authenticated here."""
    credentials: Any = request.auth
    assert isinstance(credentials, Credentials)
    return credentials


class ApiKeyAuthentication(BaseAuthentication):
    """DRF's hook: gives Credentials as both user and auth, or raises the one 401."""

    def __init__(self, *, may_remember: bool = False) -> None:
        self._may_remember = may_remember

    def authenticate(self, request: Request) -> tuple[Credentials, Credentials]:
        secret = request.META.get("HTTP_X_API_KEY", "")
        # Nobody gets room for a body by what is only remembered of the key.
        may_remember = self._may_remember and request.META.get("evermuse.body") != AWAITED
        credentials = (self._recall(secret) if may_remember else None) or identify(secret)
        return credentials, credentials

    def _recall(self, secret: str) -> Credentials | None:
        # On a connection that died meanwhile the lookup, which can be repeated, comes first and opens another.
        return _remembered.get(api_keys.digest(secret)) if prepared.is_alive() else None

    def authenticate_header(self, request: Request) -> str:
        return "x-api-key"


_remembered: dict[bytes, Credentials] = {}


def parameters(digest: bytes) -> list[prepared.Parameter]:
    """What the statements on a live key take."""
    return [SMALL_CATALOG + 1, SMALL_CATALOG + 1, LAST_USED_STEP_SECONDS, digest]


def identify(secret: str) -> Credentials:
    """The credentials of a live key, as they are now; raises the 401 refusal otherwise."""
    if not secret.startswith(api_keys.PREFIX) or len(secret) > 256:
        raise unauthorized()
    digest = api_keys.digest(secret)
    row = _find(digest)
    if row is None or not hmac.compare_digest(bytes(row[-2]), digest):
        _remembered.pop(digest, None)
        raise unauthorized()
    key_id, workspace_id, workspace, source, permissions, rate_limit, products, projects, is_stale, _, snapshot = row
    credentials = Credentials(
        api_key_id=key_id,
        workspace_id=workspace_id,
        workspace_name=workspace,
        source=source,
        permissions=frozenset(json.loads(permissions)),
        rate_limit=settings.EVERMUSE_RATE_LIMIT if rate_limit is None else rate_limit,
        catalog=_whole_catalog(products, projects),
        digest=digest,
        snapshot=snapshot,
    )
    if is_stale:  # which is part of what would be remembered
        ApiKey.objects.filter(pk=key_id).update(last_used_at=Now())
        return credentials
    if len(_remembered) >= REMEMBERED_KEYS:
        _remembered.clear()
    _remembered[digest] = replace(credentials, is_remembered=True)
    return credentials


def _whole_catalog(products: list[str], projects: list[str]) -> Catalog | None:
    if max(len(products), len(projects)) > SMALL_CATALOG:
        return None
    return Catalog(frozenset(products), frozenset(projects))


def _find(digest: bytes) -> tuple[Any, ...] | None:
    """The live key of a digest. The first query of a request: on a connection that died meanwhile it opens another."""
    try:
        return _select(digest)
    except DATABASE_AWAY:
        if connection.in_atomic_block:
            raise
        connection.close()
        return _select(digest)


def _select(digest: bytes) -> tuple[Any, ...] | None:
    found = prepared.rows(sql.LIVE_KEY, parameters(digest))
    return found[0] if found else None
