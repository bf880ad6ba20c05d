"""Finds the client of a connection, and limits a client's connections to a process.

A client is an IPv4 address, or an IPv6 network of 64 bits, which is what a provider assigns to one customer.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterable, Sequence

from django.conf import settings

from evermuse.env import Network

_IPV6_PREFIX = 64


class ClientCounts:
    """Counts a client's connections or requests. ``limit``: the most for each client at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counts: Counter[str] = Counter()

    def enter(self, client: str) -> bool:
        """Count one more. False, without counting, if the client has reached the limit."""
        if self._counts[client] >= self._limit:
            return False
        self._counts[client] += 1
        return True

    def leave(self, client: str) -> None:
        """Count one less."""
        self._counts[client] -= 1
        if self._counts[client] <= 0:
            del self._counts[client]


def is_proxy(address: str, proxies: Sequence[Network] | None = None) -> bool:
    """Whether an address is one of our own proxies, whose X-Forwarded-For is trusted."""
    trusted = settings.EVERMUSE_TRUSTED_PROXIES if proxies is None else proxies
    return bool(trusted) and (parsed := _parsed(address)) is not None and any(parsed in network for network in trusted)


def client_of(address: str, forwarded: Iterable[bytes]) -> str:
    """The client's address: the peer's, or the last address in our proxies' X-Forwarded-For that is not a proxy.

    The client may have written anything further left.
    """
    if not is_proxy(address):
        return address
    hops = [hop.strip() for hop in b",".join(forwarded).decode("latin-1").split(",")]
    for hop in reversed(hops):
        if _parsed(hop) is None:
            return address
        if not is_proxy(hop):
            return hop
        address = hop
    return address


def counted_as(address: str) -> str:
    """The client of an address, for counting."""
    parsed = _parsed(address)
    if parsed is None:
        return address
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if parsed.version == 6 else None
    return mapped or parsed
