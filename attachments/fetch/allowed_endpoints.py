"""Addresses with a port that downloads may reach for a while although they are not public: `make demo`'s file server."""

import contextlib
import ipaddress
from collections.abc import Iterator
from datetime import timedelta

from django.db.models.functions import Now

from attachments.models import AllowedEndpoint

# Renewed by who serves there; without, it ends.
LIFETIME = timedelta(seconds=30)


def is_allowed(text: str, port: int) -> bool:
    """Whether somebody allows this address and port now."""
    address = str(ipaddress.ip_address(text.partition("%")[0]))
    return AllowedEndpoint.objects.filter(address=address, port=port, until__gt=Now()).exists()


def renew(*, address: str, port: int) -> None:
    """Allow an address and port, or go on allowing it, for `LIFETIME`."""
    AllowedEndpoint.objects.update_or_create(address=address, port=port, defaults={"until": Now() + LIFETIME})


@contextlib.contextmanager
def allowed(*, address: str, port: int) -> Iterator[None]:
    """Allow it for the block, which calls `renew` more often than each `LIFETIME`."""
    AllowedEndpoint.objects.filter(until__lte=Now()).delete()
    renew(address=address, port=port)
    try:
        yield
    finally:
        AllowedEndpoint.objects.filter(address=address, port=port).delete()
