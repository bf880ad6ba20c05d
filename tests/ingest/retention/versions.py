"""Lets replaced versions expire."""

from datetime import timedelta

from django.utils import timezone

from ingest import retention

VERSIONS = next(kind for kind in retention.KINDS if kind.name == "replaced-versions")


def expire_versions() -> int:
    """Runs the retention of replaced versions as if 91 days from now; returns the number of removed ones."""
    now = timezone.now() + timedelta(days=91)
    return retention.remove_expired(now=now, kinds=(VERSIONS,), seconds=60)["replaced-versions"]
