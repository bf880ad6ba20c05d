"""The state of a key: live, expired or revoked."""

from django.utils import timezone

from ingest.models import ApiKey

LIVE, EXPIRED, REVOKED = "live", "expired", "revoked"


def of(key: ApiKey) -> str:
    """`LIVE`, `EXPIRED` or `REVOKED`. A revoked key that has also expired is `REVOKED`."""
    if key.revoked_at:
        return REVOKED
    return EXPIRED if key.expires_at and key.expires_at <= timezone.now() else LIVE
