"""Which URLs may be fetched, and which addresses may be dialled: public ones, and those of allowed networks.

The deny list is our own, because ``ipaddress.is_global`` of Python 3.11 is True for multicast, NAT64, 6to4, site-local
and others. Sources: the IANA special-purpose address registries for IPv4 and IPv6; cloud metadata services.
"""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from attachments.download_failures import final
from attachments.fetch import targets
from attachments.fetch.targets import Target
from evermuse.env import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

DENIED_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32", "100.100.100.200/32",  # metadata services at public addresses
    )
)  # fmt: skip
# Only what IANA assigns as global unicast, without ranges that carry an IPv4 address or are reserved.
GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
DENIED_V6 = tuple(
    ipaddress.IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "2620:4f:8000::/48")
)
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def target(url: str) -> Target:
    """Parse a URL and check its text. Raises DownloadFailed (final). Its addresses are checked when they are dialled."""
    found = targets.parse(url)
    if found.port == 0:
        raise final("BLOCKED_PORT", "port 0 cannot be dialled")
    return found


def host_of(url: str) -> str:
    """Host and port of a URL, for grouping. Empty if it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme.lower() == "https" else 80)
    except ValueError:
        return ""
    if not parts.hostname:
        return ""
    return f"{parts.hostname.rstrip('.')}:{port}"[:300].replace("\0", "")


def disguised(address: Address) -> Address:
    """The IPv4 address that an IPv6 address carries (mapped or NAT64), or else the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether anybody on the Internet can reach the address, and it carries no other address."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in DENIED_V4)
    return address in GLOBAL_V6 and not any(address in network for network in DENIED_V6)


def is_allowed(address: Address, networks: Iterable[Network]) -> bool:
    """Whether an operator allows the address's network."""
    meant = {address, disguised(address)}
    return any(one in network for network in networks for one in meant if network.version == one.version)


def check_address(text: str, port: int, networks: Iterable[Network]) -> None:
    """Check the address that is about to be dialled. Raises DownloadFailed (final)."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if is_allowed(address, networks):
        return
    if not is_public(address):
        raise final("BLOCKED_ADDRESS", "the host's address is not public, and its network is not allowed")
    if port not in {80, 443} and not 1024 <= port <= 65535:
        raise final("BLOCKED_PORT", "the port is not 80, 443 or 1024 to 65535")
