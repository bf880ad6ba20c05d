"""Who asks: the API key of the header ``x-api-key``."""

import hmac
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from ingest import api_keys
from ingest.models import ApiKey
from ingest.refusals import unauthorized

# "Last used" is written at most this often for a key, so that a request costs no write.
LAST_USED_STEP = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a live key allows."""

    api_key_id: int
    workspace_id: int
    workspace_name: str
    source: str
    permissions: frozenset[str]
    rate_limit: int

    is_authenticated = True


def credentials_of(request: Request) -> Credentials:
    """Who sent a request that was authenticated here."""
    credentials: Any = request.auth
    assert isinstance(credentials, Credentials)
    return credentials


class ApiKeyAuthentication(BaseAuthentication):
    """DRF's hook: gives Credentials as both user and auth, or raises the one 401."""

    def authenticate(self, request: Request) -> tuple[Credentials, Credentials]:
        credentials = identify(request.META.get("HTTP_X_API_KEY", ""))
        return credentials, credentials

    def authenticate_header(self, request: Request) -> str:
        return "x-api-key"


def identify(secret: str) -> Credentials:
    """The credentials of a live key; raises the 401 refusal otherwise. Never cached: a revoked key ends at once."""
    if not secret.startswith(api_keys.PREFIX) or len(secret) > 256:
        raise unauthorized()
    digest = api_keys.digest(secret)
    key = ApiKey.objects.select_related("workspace").filter(digest=digest, revoked_at=None).first()
    now = timezone.now()
    if key is None or not hmac.compare_digest(bytes(key.digest), digest) or (key.expires_at and key.expires_at <= now):
        raise unauthorized()
    if key.last_used_at is None or now - key.last_used_at > LAST_USED_STEP:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
    return Credentials(
        api_key_id=key.pk,
        workspace_id=key.workspace_id,
        workspace_name=key.workspace.name,
        source=key.source,
        permissions=frozenset(key.permissions),
        rate_limit=settings.EVERMUSE_RATE_LIMIT if key.rate_limit is None else key.rate_limit,
    )
