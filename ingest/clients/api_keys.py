"""API keys: created, shown once, stored as a hash, revoked."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from attachments import uploads
from evermuse import logs
from ingest.models import MAX_LIVE_KEYS, PERMISSIONS, ApiKey, Workspace

log = logs.get(__name__)

PREFIX = "em_sk_"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new key. ``secret`` is its text, which is not stored anywhere."""

    api_key: ApiKey
    secret: str


def digest(secret: str) -> bytes:
    """SHA-256 of a key. Its 256 random bits cannot be guessed, so a slow hash is not needed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def create(
    *,
    workspace: Workspace,
    label: str,
    source: str = "api",
    permissions: Iterable[str] = ("api:read", "api:write"),
    rate_limit: int | None = None,
    expires_at: datetime | None = None,
) -> NewKey:
    """Create a key. ``rate_limit``: requests per second, None for the deployment's limit, 0 for none.

    Raises ValidationError (field → messages) for an unknown permission, the label of a live key, or too many live keys.
    """
    granted = [name for name in PERMISSIONS if name in set(permissions)]
    if unknown := sorted(set(permissions) - set(PERMISSIONS)):
        raise ValidationError({"permissions": f"unknown: {', '.join(unknown)}; known: {', '.join(PERMISSIONS)}"})
    secret = PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(
        workspace=workspace,
        label=label,
        source=source,
        prefix=secret[:12],
        digest=digest(secret),
        permissions=granted,
        rate_limit=rate_limit,
        expires_at=expires_at,
    )
    with transaction.atomic():
        Workspace.objects.select_for_update().get(pk=workspace.pk)
        if wrong := objections(workspace=workspace, label=label):
            raise ValidationError(wrong)
        key.full_clean(exclude=["digest", "permissions"], validate_constraints=False)
        key.save()
    log.info("key.created", key_id=key.pk, workspace=workspace.name, permissions=granted)
    return NewKey(key, secret)


def objections(*, workspace: Workspace, label: str) -> dict[str, str]:
    """Why a key with this label cannot be created: field → message. Empty if it can."""
    if live_keys(workspace).count() >= MAX_LIVE_KEYS:
        return {"workspace": f"{workspace} has {MAX_LIVE_KEYS} live keys, the most allowed: revoke one first"}
    if ApiKey.objects.filter(workspace=workspace, label=label, revoked_at=None).exists():
        return {"label": f"a live key of {workspace} has the label {label!r}: revoke it or choose another"}
    return {}


def live_keys(workspace: Workspace) -> QuerySet[ApiKey]:
    """Keys of the workspace that are neither revoked nor expired."""
    return ApiKey.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=timezone.now()), workspace=workspace, revoked_at=None
    )


def revoke(api_key: ApiKey) -> bool:
    """Revoke a key, from the next request on. Returns False if it was revoked already."""
    with transaction.atomic():
        revoked = ApiKey.objects.filter(pk=api_key.pk, revoked_at=None).update(revoked_at=timezone.now()) == 1
        if revoked:
            uploads.end_with_key(api_key.pk)
    if revoked:
        log.info("key.revoked", key_id=api_key.pk, workspace_id=api_key.workspace_id)
    return revoked


def ends_at(api_key_id: int) -> datetime | None:
    """When the key expires or was revoked, or None. A revocation waits until the caller's transaction has ended."""
    key = ApiKey.objects.select_for_update(no_key=True).only("expires_at", "revoked_at").get(pk=api_key_id)
    return key.revoked_at or key.expires_at
