"""Addresses and ports that downloads may reach for a while although they are not public, such as `make demo`'s file
server.
"""

import contextlib
import ipaddress
from collections.abc import Iterator
from datetime import timedelta

from django.db.models.functions import Now

from attachments.models import AllowedEndpoint

# The server's owner renews the permission before it ends.
LIFETIME = timedelta(seconds=30)


def allows(text: str, port: int) -> bool:
    """Whether downloads may reach this address and port now."""
    address = str(ipaddress.ip_address(text.partition("%")[0]))
    return AllowedEndpoint.objects.filter(address=address, port=port, until__gt=Now()).exists()


def allow(*, address: str, port: int) -> None:
    """Allow an address and port for `LIFETIME` from now."""
    AllowedEndpoint.objects.update_or_create(address=address, port=port, defaults={"until": Now() + LIFETIME})


@contextlib.contextmanager
def allowed(*, address: str, port: int) -> Iterator[None]:
    """Allow an address and port within the block. The block calls `allow` more often than each `LIFETIME`."""
    AllowedEndpoint.objects.filter(until__lte=Now()).delete()
    allow(address=address, port=port)
    try:
        yield
    finally:
        AllowedEndpoint.objects.filter(address=address, port=port).delete()
