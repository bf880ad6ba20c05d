"""Authentication by the API key in the header ``x-api-key``."""

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from evermuse.asgi_body import AWAITED
from ingest.clients import credentials as keys
from ingest.clients.credentials import Credentials


def credentials_of(request: Request) -> Credentials:
    """The credentials of an authenticated request."""
    credentials: Any = request.auth
    assert isinstance(credentials, Credentials)
    return credentials


class ApiKeyAuthentication(BaseAuthentication):
    """DRF's hook: returns Credentials as both user and auth, or raises the 401.

    ``may_use_cache`` is for a view that confirms cached credentials before it answers anything but a 202.
    """

    def __init__(self, *, may_use_cache: bool = False) -> None:
        self._may_use_cache = may_use_cache

    def authenticate(self, request: Request) -> tuple[Credentials, Credentials]:
        secret = _secret(request)
        # A cached key may be revoked, so a body is received only after a lookup.
        may_use_cache = self._may_use_cache and request.META.get("evermuse.body") != AWAITED
        credentials = (keys.cached(secret) if may_use_cache else None) or keys.identify(secret)
        return credentials, credentials

    def authenticate_header(self, request: Request) -> str:
        return "x-api-key"


def confirm(request: Request) -> Credentials:
    """Replace the request's cached credentials by what the key allows now. Raises the 401."""
    if credentials_of(request).is_cached:
        request.auth = keys.identify(_secret(request))
    return credentials_of(request)


def _secret(request: Request) -> str:
    return str(request.META.get("HTTP_X_API_KEY", ""))
