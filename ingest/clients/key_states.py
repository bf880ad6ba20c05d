"""The three states of a key, as people see them."""

from django.utils import timezone

from ingest.models import ApiKey

LIVE, EXPIRED, REVOKED = "live", "expired", "revoked"


def of(key: ApiKey) -> str:
    """`LIVE`, `EXPIRED` or `REVOKED`; a key that is both of the latter was revoked."""
    if key.revoked_at:
        return REVOKED
    return EXPIRED if key.expires_at and key.expires_at <= timezone.now() else LIVE
